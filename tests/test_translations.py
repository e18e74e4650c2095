"""Every sentence that people read has a Spanish and a Portuguese translation."""

from __future__ import annotations

import ast
import re
from gettext import GNUTranslations
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from django.utils.translation import override
from django.utils.translation.template import templatize

import connectly_tracking
from connectly_tracking.models import Reason
from connectly_tracking.reports import explain

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = Path(connectly_tracking.__file__).parent
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


def marked() -> set[tuple[str, ...]]:
    found = {
        texts for path in PACKAGE.rglob("*.py") for texts in marked_in(path.read_text())
    }
    for path in PACKAGE.rglob("*.html"):
        for call in calls_in(path.read_text()):
            found.update(marked_in(call))
    return found


def catalog(language: str) -> dict[str | tuple[str, int], str]:
    path = PACKAGE / f"locale/{language}/LC_MESSAGES/django.mo"
    with path.open("rb") as file:
        translations = vars(GNUTranslations(file))
    return dict(translations["_catalog"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_marked_text_is_translated_and_no_other(language: str) -> None:
    """To renew them: ``django-admin makemessages``, then ``compilemessages``."""
    known = {key[0] if isinstance(key, tuple) else key for key in catalog(language)}
    wanted = {texts[0] for texts in marked()}
    assert len(wanted) > 200
    assert wanted - known == set()
    assert known - wanted - {""} == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_placeholders_of_its_text(language: str) -> None:
    entries = catalog(language)
    for texts in marked():
        for number, text in enumerate(texts):
            key = text if len(texts) == 1 else (texts[0], number)
            translated = entries[key]
            assert translated.strip()
            assert sorted(PLACEHOLDER.findall(translated)) == sorted(
                PLACEHOLDER.findall(text)
            ), text
            assert translated.endswith(".") == text.endswith("."), text


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
