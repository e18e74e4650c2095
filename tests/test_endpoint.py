"""Landings on pages that Django did not serve."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from django.contrib.staticfiles import finders
from django.db import connection
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from connectly_tracking.api.landing import PARAMETERS, is_tagged
from connectly_tracking.attribution import session as sessions
from connectly_tracking.models import Attribution

from .conftest import LANDING, TAGGED

urlpatterns = [path("connectly/", include("connectly_tracking.urls"))]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
URL = "/connectly/capture/"
QUERY = TAGGED.partition("?")[2]
VALUES = {name: getattr(LANDING, name) for name in PARAMETERS}


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=True)


def post(browser: Client, body: Any, kind: str, **headers: str) -> Any:
    origin = {"Origin": "http://testserver"} | headers
    response = browser.post(URL, data=body, content_type=kind, headers=origin)
    assert response.status_code == 204
    assert response.content == b""
    return response


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (QUERY, "text/plain;charset=UTF-8"),
        (QUERY, "application/x-www-form-urlencoded"),
        (QUERY, ""),
        (json.dumps(VALUES), "application/json"),
    ],
)
def test_the_five_values_are_kept_as_a_page_would(
    browser: Client, body: str, kind: str
) -> None:
    response = post(browser, body, kind)
    click = Attribution.objects.get()
    assert click.landing == LANDING
    assert browser.session[sessions.KEY]["id"] == click.pk.hex
    assert response.headers["Cache-Control"] == "no-store"


def test_a_form_is_read_too(browser: Client) -> None:
    browser.post(URL, VALUES, headers={"Origin": "http://testserver"})
    assert Attribution.objects.get().landing == LANDING


def test_values_are_decoded_once_and_a_plus_stays_a_plus(browser: Client) -> None:
    post(browser, QUERY.replace("clid-1", "a+b%2Bc%252F"), "text/plain")
    assert Attribution.objects.get().ctwa_clid == "a+b+c%2F"


@pytest.mark.parametrize(
    ("origin", "heard"),
    [
        ("http://testserver", True),
        ("https://www.shop.example", True),
        ("https://eu.pages.example", True),
        ("https://pages.example", True),
        ("https://testserver", True),
        ("http://www.shop.example", False),
        ("https://evilpages.example", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
        ("https://[", False),
    ],
)
def test_only_pages_of_ours_are_listened_to(
    browser: Client, settings: Any, origin: str, heard: bool
) -> None:
    settings.CSRF_TRUSTED_ORIGINS = [
        "https://www.shop.example",
        "https://*.pages.example",
    ]
    response = post(browser, QUERY, "text/plain", Origin=origin)
    assert Attribution.objects.exists() == heard
    assert "Access-Control-Allow-Origin" not in response.headers


def test_who_is_no_browser_names_no_origin(browser: Client) -> None:
    assert browser.post(URL, VALUES).status_code == 204
    assert Attribution.objects.get().landing == LANDING


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("", "text/plain"),
        ("x" * 100_000, "text/plain"),
        (b"\xff\xfe\x00", "text/plain"),
        ("[1]", "application/json"),
        ("{", "application/json"),
        ("[" * 100_000, "application/json"),
        (b"\xff", "application/json"),
        ('{"cnct_tracking_id": 7}', "application/json"),
        ("--x", "multipart/form-data; boundary=x"),
        ("--x", "multipart/form-data"),
        ("cnct_tracking_id=%00", "text/plain"),
    ],
)
def test_whatever_comes_is_answered_alike(
    browser: Client, body: Any, kind: str
) -> None:
    with CaptureQueriesContext(connection) as queries:
        post(browser, body, kind)
    assert {query["sql"].split()[0] for query in queries} <= {"SAVEPOINT", "RELEASE"}
    assert not Attribution.objects.exists()


JSON = "application/json"
FORM = "multipart/form-data; boundary=x"
LINK = f"https://shop.example/{TAGGED}"


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (json.dumps(f"?{QUERY}"), JSON, "not_a_json_object"),
        (QUERY, JSON, "not_a_json_object"),
        (json.dumps([VALUES]), JSON, "not_a_json_object"),
        (json.dumps(VALUES).replace("}", ""), JSON, "not_a_json_object"),
        (json.dumps({"url": LINK}), JSON, "not_a_parameter"),
        (json.dumps({"params": VALUES}), JSON, "not_a_parameter"),
        ('{"CNCT_TRACKING_ID": "t"}', JSON, "not_a_parameter"),
        (QUERY, FORM, "not_a_parameter"),
        (QUERY, "multipart/form-data", "not_a_parameter"),
        (
            f'--x\r\nContent-Disposition: form-data; name="url"\r\n\r\n{LINK}\r\n--x--',
            FORM,
            "not_a_parameter",
        ),
    ],
)
def test_a_tag_in_a_body_of_another_shape_is_one_log_line(
    browser: Client, body: str, kind: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    post(browser, body.encode(), kind)
    assert not Attribution.objects.exists()
    said = [it.getMessage() for it in caplog.records]
    assert said == [f"tagged_link_lost reason={reason}"]


@pytest.mark.parametrize(
    "body", ["{}", "[", '{"url": "/"}', '"track-1"', json.dumps(VALUES)]
)
def test_other_bodies_are_nothing_to_log(
    browser: Client, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    post(browser, body.encode(), JSON)
    assert not caplog.records


@pytest.mark.parametrize("kind", ["text/plain", JSON, FORM])
def test_more_than_32_kib_is_not_read(
    browser: Client, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    post(browser, f"{QUERY}&x={'x' * 5_000_000}".encode(), kind)
    assert not Attribution.objects.exists()
    assert "landing_not_kept reason=body_too_long" in caplog.text


@pytest.mark.parametrize("charset", ["hex", "rot13", "utf-7", "base64", "zlib"])
def test_a_form_is_read_as_utf_8_whatever_charset_it_names(
    browser: Client, charset: str
) -> None:
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in VALUES.items()
    ]
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    body = ("".join(parts) + "--x--\r\n").encode()
    assert browser.generic("POST", URL, body, content_type=kind).status_code == 204
    assert Attribution.objects.get().landing == LANDING


def test_a_file_in_a_form_is_not_stored(
    browser: Client, settings: Any, tmp_path: Path
) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1
    head = 'Content-Disposition: form-data; name="f"; filename="f.bin"'
    body = f"--x\r\n{head}\r\n\r\n{'x' * 1000}\r\n--x--\r\n"
    post(browser, body.encode(), "multipart/form-data; boundary=x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("address", "page"),
    [
        (f"https://www.shop.example/promo/summer/?{QUERY}", "/promo/summer/"),
        (f"http://shop.example/?{QUERY}", "/"),
        (f"https://shop.example/a%20b/?utm=1&{QUERY}", "/a%20b/"),
        (QUERY, "/from/the/referer/"),
    ],
)
def test_the_page_is_that_of_the_address_or_else_of_the_referer(
    browser: Client, address: str, page: str
) -> None:
    referer = "https://www.shop.example/from/the/referer/"
    post(browser, address, "text/plain", Referer=referer)
    click = Attribution.objects.get()
    assert (click.page, click.landing) == (page, LANDING)


def test_behind_a_proxy_that_ends_tls_a_page_of_this_host_is_trusted(
    browser: Client,
) -> None:
    post(browser, QUERY, "text/plain", Origin="https://testserver")
    assert Attribution.objects.exists()


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        ("https://evil.example", "origin=https://evil.example "),
        ("https://testserver.evil.example", "origin=https://testserver.evil.example"),
        ("https://xtestserver", "origin=https://xtestserver "),
        ("null", "origin=null "),
        ("https://a\x1b[31m", "origin=invalid "),
        ("https://" + "a" * 500, "origin=invalid "),
    ],
)
def test_another_origin_is_one_log_line_with_the_remedy(
    browser: Client, origin: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    post(browser, QUERY, "text/plain", Origin=origin)
    assert not Attribution.objects.exists()
    (record,) = caplog.records
    assert shown in record.getMessage()
    assert "CSRF_TRUSTED_ORIGINS" in record.getMessage()


def test_a_page_without_tls_is_not_trusted_by_a_shop_with_it(browser: Client) -> None:
    browser.post(
        URL,
        QUERY,
        content_type="text/plain",
        secure=True,
        headers={"Origin": "http://testserver"},
    )
    assert not Attribution.objects.exists()


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "options"])
def test_other_methods_do_nothing(browser: Client, method: str) -> None:
    response = getattr(browser, method)(URL, headers={"Origin": "http://testserver"})
    assert response.status_code == 204
    assert not Attribution.objects.exists()


class TestTag:
    def render(self, template: str = "{% connectly_capture %}", **context: Any) -> str:
        request = RequestFactory().get("/")
        source = "{% load connectly_tracking %}" + template
        return Template(source).render(Context({"request": request} | context))

    def test_it_names_the_script_and_the_endpoint(self) -> None:
        assert self.render() == (
            '<script src="/static/connectly_tracking/capture.js" '
            'data-endpoint="/connectly/capture/" defer></script>'
        )

    def test_it_carries_the_nonce_of_a_content_security_policy(self) -> None:
        assert ' nonce="abc" ' in self.render(csp_nonce="abc")
        request = RequestFactory().get("/")
        request.csp_nonce = "x"  # type: ignore[attr-defined]
        assert ' nonce="x" ' in self.render(request=request)

    def test_a_nonce_that_was_not_used_before_is_made(self) -> None:
        class LazyNonce:
            made = False

            def __bool__(self) -> bool:
                return self.made

            def __str__(self) -> str:
                self.made = True
                return "lazy"

        assert ' nonce="lazy" ' in self.render(csp_nonce=LazyNonce())

    def test_an_endpoint_on_another_host_is_escaped(self) -> None:
        tag = self.render("{% connectly_capture endpoint='https://a/?b=1&c=<' %}")
        assert 'data-endpoint="https://a/?b=1&amp;c=&lt;"' in tag


def test_the_script_is_small_and_needs_nothing() -> None:
    found = finders.find("connectly_tracking/capture.js")
    assert isinstance(found, str)
    script = Path(found).read_text()
    assert len(script.encode()) <= 1024
    for word in ("import", "eval", "document.cookie", "http"):
        assert word not in script


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("cnct_tracking_id=", True),
        ("cnct%5Ftracking%5Fid=", True),
        ("cnct%5ftracking_id%3D", True),
        ("cnct%255Ftracking%255Fid=", True),
        ("CNCT-Tracking-ID=", True),
        ("%63nct_tracking_id=", True),
        ("cnct__tracking%20id=", True),
        ("cnct%C2%A0tracking%C2%A0id=", True),
        ("sendout_id=", False),
        ("cnct_id=", False),
        ("tracking_id=", False),
    ],
)
def test_the_script_tells_of_each_link_that_the_middleware_would_see(
    named: str, told: bool
) -> None:
    found = finders.find("connectly_tracking/capture.js")
    assert isinstance(found, str)
    script = re.search(
        r"if \(!/(.+)/i\.test\(unescape\(unescape\(url\)\)\)\) return;",
        Path(found).read_text(),
    )
    assert script is not None
    link = f"https://shop.example/?{named}track-1&ad_id=%zz%"
    assert is_tagged(link) == told
    # As a browser does it: a byte is a character, and \w is of ASCII.
    text = unquote(unquote(link, encoding="latin-1"), encoding="latin-1")
    assert bool(re.search(script[1], text, re.IGNORECASE | re.ASCII)) == told


def test_the_script_names_its_origin_whatever_the_pages_referrer_policy() -> None:
    """Else Firefox and Safari send "null" for it, and the endpoint must not listen."""
    found = finders.find("connectly_tracking/capture.js")
    assert isinstance(found, str)
    assert 'referrerPolicy: "strict-origin"' in Path(found).read_text()


kinds = st.sampled_from(
    [
        *("text/plain", "application/json", "application/x-www-form-urlencoded", ""),
        *("multipart/form-data; boundary=x", "multipart/form-data", "\x00", "a/b/c;="),
        *("application/json; charset=hex", "text/plain; charset=\xff", "é/ü"),
        "multipart/form-data; boundary=x; charset=utf-16",
    ]
)
bodies = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda it: it.encode("utf-8", "replace")),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
        lambda it: st.lists(it) | st.dictionaries(st.sampled_from(PARAMETERS), it),
        max_leaves=6,
    ).map(lambda it: json.dumps(it).encode()),
    st.binary(max_size=60).map(
        lambda it: (
            b"--x\r\nContent-Disposition: form-data; name=ad_id" + it + b"\r\n--x"
        )
    ),
)
headers = st.dictionaries(
    st.sampled_from(["Origin", "Referer", "Cookie", "User-Agent", "Sec-Fetch-Dest"]),
    st.text(st.characters(max_codepoint=255), max_size=40),
    max_size=2,
)


@given(bodies, kinds, headers)
@examples(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_request_is_answered_alike_and_keeps_only_valid_values(
    browser: Client, body: bytes, kind: str, headers: dict[str, str]
) -> None:
    headers = {"Origin": "http://testserver"} | headers
    # Not `post`, which encodes the body in the charset that the type names.
    answer = browser.generic("POST", URL, body, content_type=kind, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    for click in Attribution.objects.all():
        for value in click.landing.values:
            assert len(value) <= 1024
            assert value.isascii()
            assert " " not in value
            assert not value or value.isprintable()
    Attribution.objects.all().delete()
