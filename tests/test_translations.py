"""Every sentence that people read has a Spanish and a Portuguese translation.

Those of the package and of the example shop are in gettext's catalogues; the sandbox's
page, which knows no Django, has its own.
"""

from __future__ import annotations

import ast
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from gettext import GNUTranslations
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse
from django.utils.translation import override
from django.utils.translation.template import templatize

import connectly_tracking
import example_project
from connectly_tracking import outbox
from connectly_tracking.conf import conf
from connectly_tracking.doctor import as_json, as_lines, examine
from connectly_tracking.findings import CATALOGUE
from connectly_tracking.models import Conversion, Reason, zoned_text
from connectly_tracking.reports import explain
from connectly_tracking.reports.explanation import translate_detail
from connectly_tracking.sandbox.rules import list_problems

from .conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client

    from connectly_tracking.events import Purchase

PACKAGE: Final = Path(connectly_tracking.__file__).parent
SHOP: Final = Path(example_project.__file__).parent
SANDBOX: Final = PACKAGE / "sandbox"
LANGUAGES: Final = ("es", "pt_BR")
#: With the number of their arguments that are texts.
MARKERS: Final = {
    "_": 1,
    "gettext": 1,
    "gettext_lazy": 1,
    "gettext_noop": 1,
    "ngettext": 2,
    "ngettext_lazy": 2,
}
PLACEHOLDER: Final = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")


def marked_in(source: str) -> Iterator[tuple[str, ...]]:
    """The texts in calls of gettext, each with its plural if it has one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            texts = [
                each.value
                for each in node.args[: MARKERS.get(node.func.id, 0)]
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            ]
            if texts:
                yield tuple(texts)


def calls_in(template: str) -> Iterator[str]:
    """The calls of gettext that Django's own tool makes of a template."""
    pattern = r"\bn?gettext\((?:.*?)\)\s|\b_\((?:.*?)\)\s"
    for found in re.findall(pattern, templatize(template) + " ", re.S):
        yield found.strip()


def marked(root: Path = PACKAGE) -> set[tuple[str, ...]]:
    found = {
        texts for path in root.rglob("*.py") for texts in marked_in(path.read_text())
    }
    for path in root.rglob("*.html"):
        for call in calls_in(path.read_text()):
            found.update(marked_in(call))
    return found


def catalog(language: str, root: Path = PACKAGE) -> dict[str | tuple[str, int], str]:
    path = root / f"locale/{language}/LC_MESSAGES/django.mo"
    with path.open("rb") as file:
        translations = vars(GNUTranslations(file))
    return dict(translations["_catalog"])


@pytest.mark.parametrize("root", [PACKAGE, SHOP], ids=["package", "shop"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_marked_text_is_translated_and_no_other(language: str, root: Path) -> None:
    """To renew them: ``django-admin makemessages``, then ``compilemessages``."""
    entries = catalog(language, root)
    known = {key[0] if isinstance(key, tuple) else key for key in entries}
    wanted = {texts[0] for texts in marked(root)}
    assert len(wanted) > 50
    assert wanted - known == set()
    assert known - wanted - {""} == set()


@pytest.mark.parametrize("root", [PACKAGE, SHOP], ids=["package", "shop"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_placeholders_of_its_text(
    language: str, root: Path
) -> None:
    entries = catalog(language, root)
    for texts in marked(root):
        for number, text in enumerate(texts):
            key = text if len(texts) == 1 else (texts[0], number)
            translated = entries[key]
            assert translated.strip()
            assert sorted(PLACEHOLDER.findall(translated)) == sorted(
                PLACEHOLDER.findall(text)
            ), text
            assert translated.endswith(".") == text.endswith("."), text


#: Rooms whose sentences people read, and what in them is not one.
ROOMS: Final = ("admin", "checks", "conf", "doctor", "reports", "findings.py")
MORE_ROOMS: Final = ("remedies.py", "alerts.py", "models")
NO_SENTENCE: Final = re.compile(
    r"<|=%|read (un)?committed|connectly-|lock wait|lock timeout|read only|"
    r"invalid password|must (not )?be|^by must|is not supported|query|cannot exist"
)
#: Names of permissions, which Django keeps in the database; what is stored or sent in
#: English; the errors of a command.
ENGLISH: Final = re.compile(
    r"^Can |^Exported|^Every worker|^Answer and|no answer rec|"
    r"^The first line|^has only|^ (is|has) |CSV UTF-8|^Forgot"
)


def unmarked_in(source: str) -> Iterator[str]:
    """The texts of two words or more that are no docstrings and not translated."""
    tree = ast.parse(source)
    known = set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            known.add(id(node.value))
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if is_call and node.func.id in MARKERS:  # type: ignore[attr-defined]
            known.update(id(it) for it in ast.walk(node))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in known
            and re.search(r"[a-z]{2,} [a-z]{2,}", node.value)
        ):
            yield node.value


def test_no_sentence_that_people_read_is_left_unmarked() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}: {text}"
        for room in (*ROOMS, *MORE_ROOMS)
        for path in sorted([*(PACKAGE / room).rglob("*.py"), PACKAGE / room])
        if path.suffix == ".py"
        for text in unmarked_in(path.read_text())
        if not NO_SENTENCE.search(text) and not ENGLISH.search(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "path",
    [*PACKAGE.glob("templates/**/*.html"), *SHOP.glob("*/templates/**/*.html")],
    ids=lambda path: path.name,
)
def test_no_text_of_a_template_is_left_unmarked(path: Path) -> None:
    text = re.sub(
        r"{% blocktranslate.*?endblocktranslate %}|{% block bodyclass %}.*?endblock %}",
        "",
        path.read_text(),
        flags=re.S,
    )
    text = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}", "", text, flags=re.S)
    named = re.findall(r'(?:aria-label|title|placeholder|alt)="([^"]*)"', text)
    shown = re.sub(r"<[^>]*>|&\w+;", "", text)
    words = re.findall(r"[^\W\d_]{2,}", " ".join([*named, shown]))
    assert {*words} <= {"Beispiel"}  # the shop's name


class _Texts(HTMLParser):
    """What a person reads of a page, as the sandbox's page looks it up."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found = set[str]()
        self._tag = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        named = {name: value or "" for name, value in attrs}
        for name in ("title", "placeholder", "aria-label"):
            self.handle_data(named.get(name, ""))

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        # Behaviours, settings and options are written as they are.
        if self._tag not in {"b", "code"} and re.search(r"[a-z]", text):
            self.found.add(text)


def texts_of_the_sandbox() -> set[str]:
    script = (SANDBOX / "page.js").read_text()
    literal = r'"(?:[^"\\]|\\.)*"'
    calls = re.findall(rf"\b_\((?:\w+ \?\? )?({literal})", script)
    for one, many in re.findall(rf"plural\([^\"]*({literal}), ({literal})", script):
        calls += [one, many]
    table = script.partition("EXPLANATIONS = {")[2].partition("};")[0]
    calls += re.findall(rf": ({literal})", table)
    page = _Texts((SANDBOX / "page.html").read_text()).found
    return {*map(json.loads, calls)} | page - {"302:/elsewhere, 418, drip:1"}


@pytest.mark.parametrize("language", ["es", "pt-br"])
def test_the_sandboxs_page_is_translated(language: str) -> None:
    words = json.loads((SANDBOX / f"page.{language}.json").read_text())
    wanted = texts_of_the_sandbox()
    assert len(wanted) > 100
    assert wanted - words.keys() == set()
    rules = {  # what is wrong with an event, and the kinds of values
        text for text in words.keys() - wanted if "{" in text or text.startswith("a")
    }
    assert words.keys() - wanted - rules == {"null", "this address"}
    for text, translated in words.items():
        known = {*PLACEHOLDER.findall(text.replace("{nth}", "{n}"))}
        assert {*PLACEHOLDER.findall(translated)} == known, text


@pytest.mark.parametrize("language", ["es", "pt-br"])
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"payload": []},
        {"payload.value": 1, "one": 2, "event_name": "Refund", "sendout_id": 7},
        {"event_name": "Purchase", "payload": {}, "cnct_tracking_id": ""},
        {"payload": {"event_time": 9e12, "currency": "usd", "contents": [None]}},
        {"payload": {"event_time": 9e9, "value": True, "contents": {}}},
        [],
    ],
)
def test_what_is_wrong_with_an_event_has_a_translation(
    language: str, body: object
) -> None:
    words = json.loads((SANDBOX / f"page.{language}.json").read_text())
    patterns = [
        re.sub(r"\\{\w+\\}", "(.+?)", re.escape(text)) for text in words if "{" in text
    ]
    problems = list_problems(json.dumps(body).encode(), now=1e9)
    assert problems
    for problem in problems:
        assert any(re.fullmatch(it, problem.message, re.S) for it in patterns), problem


@pytest.mark.parametrize("language", ["es", "pt-br"])
def test_findings_are_in_the_readers_language_and_their_codes_are_not(
    language: str, db: None
) -> None:
    english, _ready = examine()
    with override(language):
        findings, _ready = examine()
        lines = "\n".join(as_lines(findings))
        report = json.loads(as_json(findings))
    same = [(it.subject, it.code, it.level) for it in english]
    assert [(it.subject, it.code, it.level) for it in findings] == same
    assert [(it["subject"], it["code"], it["level"]) for it in report["findings"]] == [
        tuple(map(str, it)) for it in same
    ]
    for before, finding in zip(english, findings, strict=True):
        assert finding.text != before.text
        assert not before.remedy or finding.remedy != before.remedy
    assert {"es": "configuración", "pt-br": "configuração"}[language] in lines


@pytest.mark.parametrize("language", ["es", "pt-br"])
def test_each_remedy_and_each_wrong_setting_is_translated(
    language: str, settings: Any
) -> None:
    english = {code: str(remedy) for code, (_level, remedy) in CATALOGUE.items()}
    settings.CONNECTLY_TRACKING = {"BATCH": 0}
    with override(language):
        for code, (_level, remedy) in CATALOGUE.items():
            assert not english[code] or str(remedy) != english[code], code
        with pytest.raises(ImproperlyConfigured) as raised:
            _batch = conf.BATCH
        text = str(raised.value)
    assert text.startswith("CONNECTLY_TRACKING['BATCH'] de")


@pytest.mark.parametrize(
    ("language", "amount", "time"),
    [
        ("en", "1,234.50 USD", "2026-11-21 14:02 UTC"),
        ("es", "1\N{NO-BREAK SPACE}234,50 USD", "21/11/2026 14:02 UTC"),
        ("pt-br", "1.234,50 USD", "21/11/2026 14:02 UTC"),
    ],
)
def test_amounts_and_times_are_as_the_language_writes_them(
    language: str, amount: str, time: str
) -> None:
    row = Conversion(value=Decimal("1234.5000"), currency="USD")
    with override(language):
        assert row.amount == amount
        assert zoned_text(datetime(2026, 11, 21, 14, 2, tzinfo=UTC)) == time


@pytest.mark.parametrize(
    ("language", "label", "sentence"),
    [
        ("es", "el cliente no dio su consentimiento", "nunca se registró"),
        ("es-mx", "el cliente no dio su consentimiento", "nunca se registró"),
        ("pt-br", "o cliente não deu consentimento", "nunca foi registrado"),
    ],
)
@pytest.mark.django_db
def test_an_answer_is_in_the_readers_language(
    language: str, label: str, sentence: str
) -> None:
    with override(language):
        assert str(Reason.CONSENT_REFUSED.label) == label
        assert sentence in explain("ORD-1")


#: Details as they are stored, and their beginnings in Spanish.
DETAILS: Final = {
    "value: must be a number, such as 99.97, not 'a. b'": "value: debe ser un número",
    (
        "landed_at: must not be in the future; pass the time when the link was opened"
    ): "landed_at: no debe estar en el futuro; pase la hora en que se abrió el enlace",
    "contents[0] (id 'x') was left out: quantity must be greater than zero.": (
        "Se omitió contents[0] (id 'x'): quantity debe ser mayor que cero."
    ),
    "content_ids[3] was left out: it must not be empty. And 2 more.": (
        "Se omitió content_ids[3]: no debe estar vacío. Y 2 más."
    ),
    "contents was left out: the request would be longer than 32768 bytes.": (
        "Se omitió contents: la solicitud"
    ),
    "The shop sent this order id again with 1.00 USD; the first value is kept.": (
        "La tienda envió este número de pedido otra vez con 1.00 USD"
    ),
    "Every worker that tried to send it crashed.": (
        "Todos los workers que intentaron enviarlo se cayeron."
    ),
    "What the shop said itself.": "What the shop said itself.",
}


@pytest.mark.parametrize("detail", DETAILS)
def test_a_stored_detail_is_in_the_readers_language(detail: str) -> None:
    assert translate_detail(detail) == detail
    with override("es"):
        assert translate_detail(detail).startswith(DETAILS[detail])


@pytest.mark.parametrize(
    "event",
    [
        make_purchase("1", value="x"),
        make_purchase("1", value=-1),
        make_purchase("1", currency="US$"),
        make_purchase("1", currency=None),
        make_purchase("1", event_time="yesterday"),
        make_purchase("1", event_time=10**12),
        make_purchase("1", event_time=1e18),
        make_purchase(" 1 "),
        make_purchase(""),
        make_purchase("1" * 200),
        make_purchase("1", contents=[{"id": "", "quantity": 0}, {"ids": 1}, 7]),
        make_purchase("1", contents=7),
        make_purchase("1", content_type="", num_items="many", content_ids={"a"}),
    ],
)
def test_no_detail_of_an_order_is_left_in_english(db: None, event: Purchase) -> None:
    row = outbox.record(event, attribution=make_click(age=3600))
    assert row.detail
    with override("pt-br"):
        said = translate_detail(row.detail)
    english = re.findall(r"\b(?:must|was|were|not|is|the|with)\b", said)
    assert english == [], said


def test_no_note_of_a_repeated_order_is_left_in_english(db: None) -> None:
    click, other = make_click(age=3600), make_click(age=60)
    outbox.record(make_purchase("1", currency="US$", value=1), attribution=click)
    outbox.record(make_purchase("1", value=2), attribution=click)
    outbox.record(make_purchase("1", value=3), attribution=other)
    detail = Conversion.objects.get().detail
    assert detail.count("The shop") == 2
    with override("pt-br"):
        assert "The shop" not in translate_detail(detail)


@pytest.mark.parametrize(
    ("language", "amount"), [("es", "Importe"), ("pt-br", "Valor")]
)
def test_the_columns_of_a_clicks_orders_are_translated(
    admin_client: Client, settings: Any, language: str, amount: str
) -> None:
    row = outbox.record(make_purchase(), attribution=make_click())
    settings.LANGUAGE_CODE = language
    url = reverse(
        "admin:connectly_tracking_attribution_change", args=[row.attribution_id]
    )
    html = admin_client.get(url).content.decode()
    heads = [it.strip() for it in re.findall(r"<th class=\"column-[^>]*>([^<]*)", html)]
    assert amount in heads
    assert "Amount" not in heads
