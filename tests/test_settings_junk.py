"""Whatever a setting holds, a check names it or it works, and nothing crashes."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pytest
from django.core.checks.registry import registry
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from connectly_tracking.conf import NAMES, conf
from connectly_tracking.delivery import deliver
from connectly_tracking.doctor import examine
from connectly_tracking.models import Conversion
from connectly_tracking.reports import explain
from connectly_tracking.signals import order_completed
from example_project.shop.models import Order

from .conftest import TAGGED, make_click, make_product

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    Use = Callable[[dict[str, object]], None]

PATHS: Final = [
    *(".", "..", "a.", ".a", "..a", "a..b", "a b.c", "os", "no.such.thing", "\0.x"),
    *("\ud800.x", "é.ü", "x" * 5000 + ".y", f"{__name__}.broken.thing", "sys.path"),
]
NUMBERS: Final = [
    *(0, -1, 1, 1.5, 1e-300, 1e300, 10**400, -(10**400), 10**5000, True, False),
    *(math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal(1), 1j),
    *(timedelta(0), timedelta(-1), timedelta.min, timedelta.max, timedelta(1)),
]
JUNK: Final = [
    *PATHS,
    *NUMBERS,
    *(None, ..., object(), "", " ", "\0", "a\r\nb", "é", "\ud800", "x" * 5000, b"x"),
    *([], [None], [1, 2], [2, 1], [math.nan], [10**400], ["30"], [[1]], range(3)),
    *({}, set(), {"a": 1}, {None: None}, {"br": None}, {"": {}}, {"\0": {}}),
    *({"br": {"API_KEY": 10**5000}}, {"br": {"BUSINESS_ID": 10**5000}}, {"br": {1: 1}}),
    *({"https": "no url"}, {"https": "http://p:99999"}, {"https": "http://[::1"}),
    *({"https": "http://p\r\nX: y"}, {"ftp": "http://p"}, {"http": "http://"}),
    *(
        datetime(2026, 1, 1, tzinfo=UTC),
        Path("/no/such"),
        Path("/"),
        UUID(int=1),
        int,
        len,
    ),
    *("sessionid", "csrftoken", "a=b", "https://h", "javascript:alert(1)"),
]
URLS: Final = [
    *("https://api.connectly.ai\r\nX: y", "https://api.connect\tly.ai", "https://a b"),
    *("https://api.connectly.ai?", "https://api.connectly.ai/?a", "https://h#"),
    *("https://@api.connectly.ai", "https://u@h", "https://:p@h", "https://h\\@evil"),
    *("https://", "https:///path", "https://:443", "https:api.connectly.ai", "//h"),
    *("https://h:0", "https://h:99999", "https://h:-1", "https://h:x", "https://h:٣"),
    *("https://169.254.169.254", "https://2852039166", "https://0xa9fea9fe"),
    *("https://0251.0376.0251.0376", "https://[::ffff:169.254.169.254]"),
    *("https://[::ffff:a9fe:a9fe]", "https://[fe80::1%25eth0]", "https://169.254.1.1."),
    *("https://1\N{FULLWIDTH DIGIT SIX}9.254.169.254", "https://[64:ff9b::a9fe:a9fe]"),
    *("https://167772161", "https://0x0a000001", "https://012.0.0.1", "https://10.1"),
    *("https://[::ffff:10.0.0.1]", "https://[::ffff:192.168.0.1]", "https://0"),
    *("https://bücher.example", "https://h..example", "https://.h", "https://-h"),
    *("https://" + "x" * 64, "https://" + "x." * 127 + "x", "https://h%2fx"),
    *("https://[::1", "https://[x]", "https://[]", "HTTP://api.connectly.ai", " "),
    *("http://127.0.0.1.evil.example", "http://localhost@evil", "file:///etc/passwd"),
]


@pytest.fixture
def use(settings: Any) -> Use:
    """Change settings of ours, however often."""
    base = dict(settings.CONNECTLY_TRACKING)
    current: dict[str, object] = {}
    settings.CONNECTLY_TRACKING = current

    def use(changes: dict[str, object]) -> None:
        current.clear()
        current.update(base | changes)

    return use


def messages() -> list[str]:
    """What our checks say; the doctor, `migrate` and `runserver` run them, too."""
    ours = [it for it in registry.get_checks() if it.__module__.startswith("connectly")]
    assert len(ours) >= 4
    found = [it for check in ours for it in check(app_configs=None, databases=None)]
    return [str(it.msg) for it in found]


def is_right(name: str) -> bool:
    try:
        getattr(conf, name)
    except ImproperlyConfigured as exc:
        problem = str(exc)
    else:
        return True
    assert name in problem
    return False


def assert_named_or_right(name: str) -> None:
    named = [text for text in messages() if f"['{name}']" in text]
    for text in named:
        assert text.isprintable(), text
    # No check calls a key that may come from a vault.
    is_asked_later = name == "API_KEY" and callable(conf.raw["API_KEY"])
    assert named or is_asked_later or is_right(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_check_names_each_bad_value_and_the_others_work(use: Use, name: str) -> None:
    for junk in JUNK:
        use({name: junk})
        assert_named_or_right(name)


@pytest.mark.parametrize("name", ["ORDER_ADAPTER", "BUSINESS_RESOLVER", "CONSENT"])
@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_leads_nowhere_is_refused(use: Use, name: str, path: str) -> None:
    use({name: path})
    assert not is_right(name)


def test_a_module_that_fails_when_it_is_imported_is_named_without_its_words(
    use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_written_shop.py").write_text("1 / 0  # the-key\n")
    (tmp_path / "unreadable_shop.py").write_text("def adapter(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    for path, kind in (
        ("half_written_shop.adapter", "ZeroDivisionError"),
        ("unreadable_shop.adapter", "SyntaxError"),
    ):
        use({"ORDER_ADAPTER": path})
        (said,) = (text for text in messages() if "ORDER_ADAPTER" in text)
        assert said.endswith(f"cannot be imported: its module raised {kind}.")


@pytest.mark.parametrize("url", URLS)
def test_an_address_that_leads_elsewhere_or_nowhere_is_refused(
    use: Use, url: str
) -> None:
    use({"BASE_URL": url})
    assert not is_right("BASE_URL")
    assert [text for text in messages() if "['BASE_URL']" in text]


@pytest.mark.parametrize(
    "url",
    [
        *("https://api.connectly.ai/", "https://API.connectly.ai:8443/base/path"),
        *("https://10.0.0.1", "https://192.168.1.7:443", "https://[2001:db8::1]"),
        *("http://localhost:8080", "http://127.0.0.1", "http://[::1]:8080"),
        *("https://xn--bcher-kva.example", "https://my_gateway", "https://a-b.c."),
    ],
)
def test_an_address_that_is_right_is_taken(use: Use, url: str) -> None:
    use({"BASE_URL": url})
    assert is_right("BASE_URL")
    assert messages() == [it for it in messages() if "BASE_URL" not in it]


@pytest.mark.parametrize(
    "name", ["LEASE", "DEADLINE", "CONNECT_TIMEOUT", "READ_TIMEOUT"]
)
@pytest.mark.parametrize("value", [86_401, timedelta(days=30), 3_000_000, 1e-9])
def test_no_clock_is_longer_than_a_socket_can_wait(
    use: Use, name: str, value: object
) -> None:
    use({name: value})
    assert not is_right(name)


@pytest.mark.parametrize("cookie", ["sessionid", "csrftoken", "django_language"])
def test_the_click_does_not_replace_a_cookie_of_djangos(use: Use, cookie: str) -> None:
    use({"CLICK_COOKIE": cookie})
    assert not is_right("CLICK_COOKIE")


@pytest.mark.parametrize(
    ("name", "changes", "is_taken"),
    [
        ("__Secure-click", {}, True),
        ("__Secure-click", {"PATH": "/shop", "DOMAIN": "shop.example"}, True),
        ("__Secure-click", {"SECURE": False}, False),
        ("__secure-click", {"SECURE": False}, False),
        ("__Host-click", {}, True),
        ("__Host-click", {"DOMAIN": ""}, True),
        ("__Host-click", {"SECURE": False}, False),
        ("__Host-click", {"PATH": "/shop"}, False),
        ("__Host-click", {"PATH": None}, False),
        ("__Host-click", {"DOMAIN": "shop.example"}, False),
        ("__HOST-click", {"DOMAIN": "shop.example"}, False),
        ("_Host-click", {"SECURE": False}, True),
        ("__Hosts", {"SECURE": False}, True),
    ],
)
def test_a_cookie_that_browsers_would_refuse_is_named(
    use: Use, settings: Any, name: str, changes: dict[str, object], is_taken: bool
) -> None:
    settings.SESSION_COOKIE_SECURE = True
    for key, value in changes.items():
        setattr(settings, f"SESSION_COOKIE_{key}", value)
    use({"CLICK_COOKIE": name})
    assert is_right("CLICK_COOKIE") == is_taken
    said = [text for text in messages() if "['CLICK_COOKIE']" in text]
    assert len(said) == (not is_taken)
    assert all("which browsers accept only if" in text for text in said)


@pytest.mark.parametrize("scheme", ["socks4", "socks5", "SOCKS5H"])
def test_a_socks_proxy_is_refused(use: Use, scheme: str) -> None:
    use({"PROXIES": {"all": f"{scheme}://p:1080"}})
    assert not is_right("PROXIES")


@pytest.mark.parametrize(
    "proxies",
    [
        *({}, {"https": ""}, {"https": "proxy:3128"}, {"all": "http://p:1080"}),
        *({"https": "http://me:word@proxy:3128"}, {"https://api.test": "http://p"}),
    ],
)
def test_proxies_that_are_right_are_taken(use: Use, proxies: dict[str, str]) -> None:
    use({"PROXIES": proxies})
    assert is_right("PROXIES")


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "x",
        7,
        {7: 1},
        {None: 1},
        {("a",): 1},
        {"": 1},
        {b"x": 1},
        {"\ud800": 1},
    ],
)
def test_whatever_the_settings_are_the_checks_say_so(settings: Any, raw: Any) -> None:
    settings.CONNECTLY_TRACKING = raw
    assert messages()


#: One value that is refused and those that are taken, but odd; a new setting need not
#: be here.
ODD: Final[dict[str, list[object]]] = {
    "BUSINESSES": [7, {"\0": {}}, {"br": {"API_KEY": 7}}],
    "BUSINESS_ID": [7, "x" * 5000, None],
    "API_KEY": [7, "\r\n", lambda: 1 / 0, lambda: object(), "x" * 50_000],
    "BUSINESS_RESOLVER": [".", len, lambda *_: "\ud800", lambda *_: 10**5000],
    "BASE_URL": ["https://0xa9fea9fe", "https://nowhere.invalid"],
    "ORDER_ADAPTER": [".", len, lambda _: None, lambda _: 10**5000],
    "CONSENT": [".", lambda _: 1 / 0, lambda _: "\ud800", lambda _: object()],
    "CLICK_COOKIE": ["a b", "sessionid", "__Host-click", "~" * 64],
    "PROXIES": [7, {"all": "socks5h://nowhere:1"}],
    "CA_BUNDLE": ["x" * 5000, "/", __file__],
    "QUEUE": ["\0", "🛒"],
    "ATTRIBUTION_TOUCH": [[], "LAST"],
    "ATTRIBUTION_WINDOW": [10**400, timedelta(days=36_500), 1e-6],
    "RETENTION": [math.nan, timedelta(days=36_500), 1e-6],
    "HOLD": [math.inf, 6 * 86400],
    "MAX_EVENT_AGE": ["7", timedelta(days=36_500), 1e-6],
    "RETRY_SCHEDULE": [[10**400], [1e-6], [36_500 * 86_400]],
    "PROBE_SCHEDULE": ["30", [1e-6], [36_500 * 86_400]],
    "LEASE": [10**400, 86_400, 1e-6],
    "DEADLINE": [True, 86_400, 1e-6],
    "CONNECT_TIMEOUT": [None, 86_400, 1e-6],
    "READ_TIMEOUT": [[], 86_400, 1e-6],
    "BATCH": [10**400, 1],
    "THREADS": [0, 128],
    "SEND": ["yes"],
    "RECORD_UNATTRIBUTED": [None],
    "STRICT": [2],
    "OSCAR_PURCHASE_STATUS": [7],
    "OSCAR_CANCEL_STATUSES": [7],
}


@pytest.mark.parametrize("name", NAMES)
def test_no_value_breaks_a_page_an_order_or_the_operators_pages(
    use: Use, admin_client: Client, client: Client, name: str
) -> None:
    product = make_product()
    for number, value in enumerate(ODD.get(name, [7, ".", {}])):
        use({name: value})
        assert client.get(TAGGED).status_code == 200
        order = Order.objects.place(product, quantity=1)
        order_completed.send(sender=Order, order=order, attribution=make_click())
        assert Order.objects.count() == number + 1
        explain(order.number)
        for page in ("changelist", "status"):
            url = reverse(f"admin:connectly_tracking_conversion_{page}")
            assert admin_client.get(url, {"q": order.number}).status_code == 200
        row = Conversion.objects.order_by("-pk").first()
        if row is not None:
            url = reverse("admin:connectly_tracking_conversion_change", args=[row.pk])
            assert admin_client.get(url).status_code == 200


@pytest.mark.parametrize("name", NAMES)
def test_the_doctor_names_it_and_a_worker_says_no_more_than_that(
    use: Use, db: None, name: str
) -> None:
    use({name: ODD.get(name, [7])[0]})
    assert name in " ".join(finding.text for finding in examine(None)[0])
    with suppress(ImproperlyConfigured):
        deliver()


texts = st.text(max_size=12)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(texts | st.none(), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(st.sampled_from(NAMES), anything)
@examples(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_is_named_or_works(use: Use, name: str, value: object) -> None:
    use({name: value})
    assert_named_or_right(name)
