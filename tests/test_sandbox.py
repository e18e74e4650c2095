from __future__ import annotations

import contextlib
import copy
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from connectly_tracking.sandbox import Sandbox
from connectly_tracking.sandbox.__main__ import main
from connectly_tracking.sandbox.rules import MAX_BODY, judge

BUSINESS = "5f0c6f0e-2f3c-4b5e-9a53-0d5b1c9f8a11"
KEY = "cnct-sandbox-key-0f9e8d"
PATH = f"/external/v1/businesses/{BUSINESS}/conversion_events"
CONFIRMED = b'{"events_received": 1}'
HEADERS = {"Content-Type": "application/json", "X-API-KEY": KEY}
PURCHASE: dict[str, Any] = {
    "cnct_tracking_id": "<value from URL>",
    "event_name": "Purchase",
    "sendout_id": "<value from URL>",
    "attribution": {
        "meta_ctwa": {"ctwa_clid": "<value from URL>", "ad_id": "<value from URL>"}
    },
    "payload": {
        "currency": "USD",
        "value": 99.97,
        "order_id": "ORD-7821",
        "content_type": "product",
        "content_ids": ["sku-1", "sku-2"],
        "num_items": 2,
        "contents": [
            {"id": "sku-1", "quantity": 1, "item_price": 49.99},
            {"id": "sku-2", "quantity": 1, "item_price": 49.98},
        ],
        "event_time": 1746480000,
    },
}
ABSENT = object()
ROOT = Path(__file__).parent.parent


@pytest.fixture
def sandbox():
    with Sandbox(business_id=BUSINESS, api_key=KEY) as sandbox:
        yield sandbox


def changed(**changes):
    """The documented example, with ``a__b__0=…`` set at that place, or ABSENT."""
    document = copy.deepcopy(PURCHASE)
    for place, value in changes.items():
        *path, last = [int(p) if p.isdigit() else p for p in place.split("__")]
        target: Any = document
        for part in path:
            target = target[part]
        if value is ABSENT:
            del target[last]
        else:
            target[last] = value
    return document


def order(order_id):
    return changed(payload__order_id=order_id)


def post(sandbox, document=PURCHASE, *, headers=HEADERS, path=PATH, **options):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    options = {"allow_redirects": False, **options}
    url = sandbox.url + path
    return requests.post(url, data=body, headers=headers, timeout=10, **options)


def message(answer):
    return answer.json()["message"]


@contextlib.contextmanager
def dialled(sandbox):
    host, port = sandbox.url.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        yield sock


def raw(document=PURCHASE, *, headers=HEADERS, method="POST", path=PATH):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def everything(sock):
    return b"".join(iter(lambda: sock.recv(65536), b""))


def talks(sandbox):
    """The threads that serve a connection of this sandbox, and its own."""
    name = f"sandbox-{sandbox.url.rsplit(':', 1)[1]}"
    return [thread for thread in threading.enumerate() if thread.name == name]


class TestRules:
    def test_the_documented_example_is_confirmed(self, sandbox):
        answer = post(sandbox)
        assert (answer.status_code, answer.content) == (200, CONFIRMED)
        assert answer.headers["Content-Type"] == "application/json"
        (event,) = sandbox.events
        assert json.loads(event.body) == PURCHASE

    @pytest.mark.parametrize(
        "document",
        [
            changed(event_name="ViewContent", payload={}),
            changed(payload={"currency": "EUR", "value": 0}),
            changed(payload__value=10**30),
            changed(payload__num_items=1.5),
            changed(payload__contents=[]),
            changed(payload__event_time=int(time.time()) + 60),
            changed(payload__event_time=1.5),
        ],
    )
    def test_what_the_documentation_allows_is_confirmed(self, sandbox, document):
        assert post(sandbox, document).content == CONFIRMED

    @pytest.mark.parametrize(
        ("place", "value", "words"),
        [
            ("cnct_tracking_id", ABSENT, "cnct_tracking_id is required"),
            ("cnct_tracking_id", 7, "cnct_tracking_id must be a string, not a number"),
            ("cnct_tracking_id", "", "cnct_tracking_id must not be empty"),
            ("event_name", ABSENT, "event_name is required"),
            ("event_name", None, "event_name must be a string, not null"),
            ("event_name", "", "event_name must not be empty"),
            (
                "event_name",
                "purchase",
                'event_name must be "Purchase" or "ViewContent", not "purchase"',
            ),
            ("sendout_id", ABSENT, "sendout_id is required"),
            ("sendout_id", ["x"], "sendout_id must be a string, not a list"),
            ("sendout_id", "", "sendout_id must not be empty"),
            ("attribution", ABSENT, "attribution is required"),
            ("attribution", "x", "attribution must be an object, not a string"),
            ("attribution", {}, "attribution.meta_ctwa is required"),
            (
                "attribution__meta_ctwa",
                [],
                "attribution.meta_ctwa must be an object, not a list",
            ),
            (
                "attribution__meta_ctwa__ctwa_clid",
                ABSENT,
                "attribution.meta_ctwa.ctwa_clid is required",
            ),
            (
                "attribution__meta_ctwa__ctwa_clid",
                "",
                "attribution.meta_ctwa.ctwa_clid must not be empty",
            ),
            (
                "attribution__meta_ctwa__ad_id",
                ABSENT,
                "attribution.meta_ctwa.ad_id is required",
            ),
            (
                "attribution__meta_ctwa__ad_id",
                120210,
                "attribution.meta_ctwa.ad_id must be a string, not a number",
            ),
            ("payload", ABSENT, "payload is required"),
            ("payload", None, "payload must be an object, not null"),
            (
                "payload__currency",
                ABSENT,
                "payload.currency is required for a Purchase",
            ),
            (
                "payload__currency",
                "usd",
                "payload.currency must be an ISO 4217 code, three capital letters,"
                ' not "usd"',
            ),
            ("payload__currency", 840, "payload.currency must be a string"),
            ("payload__value", ABSENT, "payload.value is required for a Purchase"),
            ("payload__value", "99.97", "payload.value must be a number, not a string"),
            ("payload__value", True, "payload.value must be a number, not a boolean"),
            ("payload__value", None, "payload.value must be a number, not null"),
            ("payload__order_id", 7821, "payload.order_id must be a string"),
            ("payload__order_id", None, "payload.order_id must be a string, not null"),
            ("payload__content_type", {}, "payload.content_type must be a string"),
            ("payload__content_ids", "sku-1", "payload.content_ids must be a list"),
            ("payload__content_ids__1", 2, "payload.content_ids[1] must be a string"),
            ("payload__num_items", "2", "payload.num_items must be a number"),
            ("payload__contents", {}, "payload.contents must be a list, not an object"),
            (
                "payload__contents__0",
                "sku-1",
                "payload.contents[0] must be an object, not a string",
            ),
            (
                "payload__contents__1__id",
                2,
                "payload.contents[1].id must be a string, not a number",
            ),
            (
                "payload__contents__0__id",
                ABSENT,
                "payload.contents[0].id is required",
            ),
            (
                "payload__contents__0__quantity",
                "1",
                "payload.contents[0].quantity must be a number, not a string",
            ),
            (
                "payload__contents__0__quantity",
                ABSENT,
                "payload.contents[0].quantity is required",
            ),
            (
                "payload__contents__1__item_price",
                "49.98",
                "payload.contents[1].item_price must be a number, not a string",
            ),
            (
                "payload__contents__0__price",
                1,
                'unknown key "payload.contents[0].price"; known here: id, quantity,'
                " item_price",
            ),
            (
                "payload__event_time",
                "2025-05-05",
                "payload.event_time must be a number, not a string",
            ),
            (
                "payload__event_time",
                1746480000000,
                "payload.event_time must be in seconds, not milliseconds",
            ),
            pytest.param(
                "payload__event_time",
                int(time.time()) + 3600,
                "payload.event_time is in the future",
                id="in the future",  # two workers must call it the same
            ),
            ("event_id", "x", 'unknown key "event_id"; known here: cnct_tracking_id'),
            ("attribution__source", "x", 'unknown key "attribution.source"'),
            (
                "attribution__meta_ctwa__fbclid",
                "x",
                'unknown key "attribution.meta_ctwa.fbclid"',
            ),
            ("payload__curency", "USD", 'unknown key "payload.curency"'),
            (
                "payload__payload.currency",
                "USD",
                '"payload.currency" is a flat key; nest it, as in'
                ' {"payload": {"currency": "USD"}}',
            ),
            (
                "attribution__attribution.meta_ctwa.ad_id",
                "x",
                '"attribution.meta_ctwa.ad_id" is a flat key',
            ),
        ],
    )
    def test_a_field_against_its_rule_is_an_invalid_argument(
        self, sandbox, place, value, words
    ):
        answer = post(sandbox, changed(**{place: value}))
        assert answer.status_code == 400
        document = answer.json()
        assert document.pop("message").startswith(words)
        assert document == {"code": "INVALID_ARGUMENT", "details": []}
        assert sandbox.events == []

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", "the body is not JSON: "),
            (b"{", "the body is not JSON: "),
            (b"\xff\xfe", "the body is not JSON: "),
            (b"\xef\xbb\xbf{}", "the body is not JSON: "),
            (b"[" * 100_000, "the body is not JSON: "),
            (b"9" * 5_000, "the body is not JSON: "),
            (b"1e" + b"9" * 30, "the body is not JSON: "),
            (b'{"a": NaN}', "the body is not JSON: NaN is no JSON number"),
            (b'{"a": -Infinity}', "the body is not JSON: -Infinity is no JSON number"),
            (b"[]", "the body must be an object, not a list"),
            (b"null", "the body must be an object, not null"),
            (b"1.5", "the body must be an object, not a number"),
            (b'{"a": 1, "b": 2, "b": 2}', 'duplicate key "b"'),
            (b'{"payload": {"x": {"value": 1, "value": 2}}}', 'duplicate key "value"'),
        ],
    )
    def test_a_body_that_is_no_plain_object_is_an_invalid_argument(
        self, sandbox, body, words
    ):
        answer = post(sandbox, body)
        assert answer.status_code == 400
        assert message(answer).startswith(words)

    @pytest.mark.parametrize(
        ("method", "path", "headers", "status", "code"),
        [
            ("POST", PATH, {"X-API-KEY": None}, 401, "UNAUTHENTICATED"),
            ("POST", PATH, {"X-API-KEY": ""}, 401, "UNAUTHENTICATED"),
            ("POST", PATH, {"X-API-KEY": KEY + "x"}, 401, "UNAUTHENTICATED"),
            ("POST", PATH, {"X-API-KEY": b"\xe9"}, 401, "UNAUTHENTICATED"),
            ("POST", PATH, {"Content-Type": None}, 400, "INVALID_ARGUMENT"),
            ("POST", PATH, {"Content-Type": "text/plain"}, 400, "INVALID_ARGUMENT"),
            ("POST", PATH.replace("5f0c", "5f0d"), {}, 404, "NOT_FOUND"),
            ("POST", PATH + "/", {}, 404, "NOT_FOUND"),
            ("POST", "/external/v1/nothing", {}, 404, "NOT_FOUND"),
            ("GET", PATH, {}, 405, "UNIMPLEMENTED"),
            ("PUT", PATH, {}, 405, "UNIMPLEMENTED"),
        ],
    )
    def test_a_request_to_the_wrong_place_or_without_the_key_is_refused(
        self, sandbox, method, path, headers, status, code
    ):
        answer = requests.request(
            method,
            sandbox.url + path,
            data=json.dumps(PURCHASE),
            headers={**HEADERS, **headers},
            timeout=10,
        )
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert [r.status for r in sandbox.requests] == [status]
        assert sandbox.events == []

    def test_a_charset_and_a_query_change_nothing(self, sandbox):
        headers = {**HEADERS, "Content-Type": "Application/JSON; charset=utf-8"}
        assert post(sandbox, headers=headers, path=PATH + "?x=1").ok

    def test_another_method_learns_which_one_is_allowed(self, sandbox):
        answer = requests.head(sandbox.url + PATH, timeout=10)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")

    def test_a_body_over_the_limit_is_read_refused_and_not_kept_whole(self, sandbox):
        with requests.Session() as session:
            session.headers.update(HEADERS)
            url = sandbox.url + PATH
            assert session.post(url, b"x" * (3 * MAX_BODY), timeout=10).status_code == (
                413
            )
            assert session.post(url, json=PURCHASE, timeout=10).ok
        assert len(sandbox.requests[0].body) == MAX_BODY + 1
        assert sandbox.connections == 1

    def test_meta_refuses_an_old_event_which_connectly_counts(self):
        with Sandbox(business_id=BUSINESS, api_key=KEY, meta_max_age=604_800) as meta:
            answer = post(meta)
            assert (answer.status_code, len(meta.events)) == (400, 1)
            assert "more than 7 days old" in message(answer)
            fresh = changed(payload__event_time=int(time.time()) - 60)
            assert post(meta, fresh).ok
            assert post(meta, changed(payload__event_time=ABSENT)).ok

    @given(st.binary())
    def test_no_bytes_are_beyond_the_rules(self, body):
        assert verdict(body).status == 400

    @given(
        st.sampled_from(
            [*PURCHASE, *(f"payload__{key}" for key in PURCHASE["payload"])]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    )
    def test_no_json_is_beyond_the_rules(self, place, value):
        body = json.dumps(changed(**{place: value})).encode()
        assert verdict(body).status in (200, 400)


def verdict(body):
    headers = {name.lower(): value for name, value in HEADERS.items()}
    return judge(
        "POST",
        PATH,
        headers,
        body,
        business_id=BUSINESS,
        api_key=KEY,
        now=time.time(),
    )


class TestBehaviours:
    @pytest.mark.parametrize("status", [401, 404, 408, 418, 451, 500, 503, 520, 999])
    def test_any_status_can_be_asked_for(self, sandbox, status):
        sandbox.behave(str(status))
        answer = post(sandbox)
        assert answer.status_code == status
        assert answer.json().keys() == {"code", "message", "details"}
        assert sandbox.events == []

    @pytest.mark.parametrize(
        ("behaviour", "status", "body", "counted"),
        [
            ("ok", 200, CONFIRMED, True),
            ("200", 200, CONFIRMED, True),
            ("299", 299, CONFIRMED, True),
            ("204", 204, b"", False),
            ("304", 304, b"", False),
            ("empty", 200, b"", False),
            ("unconfirmed", 200, b'{"events_received": 0}', False),
            ("body:", 200, None, False),
            ("body:not json", 200, b"not json", False),
            ("body:[1]", 200, b"[1]", False),
            ("body:" + "[" * 100_000, 200, b"[" * 100_000, False),
            ('body:{"events_received": true}', 200, None, False),
            ('body:{"events_received": 1.0}', 200, None, False),
            ('body:{"events_received": -1}', 200, None, False),
            ('body:\ufeff{"events_received": 1, "x": 2}', 200, None, True),
            ("body:\udcff\udcfe", 200, b"\xff\xfe", False),
        ],
    )
    def test_an_event_counts_where_the_answer_confirms_it(
        self, sandbox, behaviour, status, body, counted
    ):
        if behaviour == "body:":
            behaviour, body = "body: ", b" "
        sandbox.behave(behaviour)
        answer = post(sandbox)
        expected = behaviour.removeprefix("body:").encode() if body is None else body
        assert (answer.status_code, answer.content) == (status, expected)
        assert bool(sandbox.events) is counted
        assert bool(sandbox.event_count) is counted

    def test_garbage_is_a_page_with_status_200(self, sandbox):
        sandbox.behave("garbage")
        answer = post(sandbox)
        assert (answer.status_code, answer.headers["Content-Type"]) == (
            200,
            "text/html",
        )
        assert answer.text.startswith("<!doctype html>")
        assert sandbox.events == []

    @pytest.mark.parametrize("status", [413, 429, 503])
    @pytest.mark.parametrize(
        "wait", ["4", " soon", "", "Fri, 31 Dec 1999 23:59:59 GMT"]
    )
    def test_what_follows_the_colon_is_the_retry_after(self, sandbox, status, wait):
        sandbox.behave(f"{status}:{wait}")
        answer = post(sandbox)
        assert answer.status_code == status
        assert answer.headers["Retry-After"] == wait.strip()

    def test_retry_after_is_verbatim_even_where_it_is_two_headers(self, sandbox):
        sandbox.behave("429:4\r\nRetry-After: 9")
        assert post(sandbox).headers["Retry-After"] == "4, 9"

    def test_a_status_without_a_wait_sends_none(self, sandbox):
        sandbox.behave("429")
        assert "Retry-After" not in post(sandbox).headers

    def test_words_go_into_the_message(self, sandbox):
        sandbox.behave("403:your plan: too small")
        assert message(post(sandbox)) == "your plan: too small"

    def test_what_meta_refuses_is_counted_and_has_its_words(self, sandbox):
        sandbox.behave("400:(#100) Invalid parameter: ctwa_clid → unknown")
        answer = post(sandbox)
        assert answer.status_code == 400
        assert message(answer) == "(#100) Invalid parameter: ctwa_clid → unknown"
        (event,) = sandbox.events
        assert (event.status, event.counted) == (400, True)

    def test_meta_never_sees_what_connectly_refuses(self, sandbox):
        sandbox.behave("400:words of Meta")
        assert message(post(sandbox, {})) == "cnct_tracking_id is required"
        assert sandbox.events == []

    def test_a_plain_400_is_not_counted(self, sandbox):
        sandbox.behave("400")
        assert post(sandbox).status_code == 400
        assert sandbox.events == []

    @pytest.mark.parametrize(
        ("behaviour", "status", "location"),
        [
            ("redirect", 307, "/redirected"),
            ("redirect:http://127.0.0.1:1/x", 307, "http://127.0.0.1:1/x"),
            ("302", 302, "/redirected"),
            ("301:/there", 301, "/there"),
        ],
    )
    def test_a_redirect_points_elsewhere(self, sandbox, behaviour, status, location):
        sandbox.behave(behaviour)
        answer = post(sandbox)
        assert (answer.status_code, answer.headers["Location"]) == (status, location)
        assert sandbox.events == []

    def test_who_follows_a_redirect_is_found_out(self, sandbox):
        sandbox.behave("redirect")
        assert post(sandbox, allow_redirects=True).status_code == 404
        assert [r.path for r in sandbox.requests] == [PATH, "/redirected"]

    def test_a_delay_comes_before_the_answer_and_after_the_record(self, sandbox):
        sandbox.behave("delay:60")
        with dialled(sandbox) as sock:
            sock.sendall(raw())
            sandbox.wait_for(lambda s: len(s.events) == 1)
            sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                sock.recv(1)

    def test_every_answer_waits_for_the_delay_of_the_sandbox(self, sandbox):
        sandbox.delay = 0.03
        sandbox.behave("delay:0.02", times=1)
        for least in (0.05, 0.03):
            begin = time.monotonic()
            assert post(sandbox).ok
            assert time.monotonic() - begin >= least
        assert sandbox.delay == 0.03

    def test_a_hang_is_recorded_and_never_answered(self, sandbox):
        sandbox.behave("hang")
        with dialled(sandbox) as sock:
            sock.sendall(raw())
            sandbox.wait_for(lambda s: len(s.requests) == 1)
            sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                sock.recv(1)
        (hung,) = sandbox.requests
        assert (hung.status, hung.answer, hung.counted) == (None, "", False)
        assert hung.order_id == "ORD-7821"

    def test_a_hang_ends_with_the_client(self, sandbox):
        sandbox.behave("hang")
        with dialled(sandbox) as sock:
            sock.sendall(raw())
            sandbox.wait_for(lambda s: len(s.requests) == 1)
            assert len(talks(sandbox)) == 2
        sandbox.wait_for(lambda s: len(talks(s)) == 1)

    @pytest.mark.parametrize("behaviour", ["drip:0.001", "drip-body:0.001"])
    def test_a_dripped_answer_is_whole_in_the_end(self, sandbox, behaviour):
        sandbox.behave(behaviour, times=1)
        with requests.Session() as session:
            for _ in range(2):
                answer = session.post(
                    sandbox.url + PATH, json=PURCHASE, headers=HEADERS, timeout=10
                )
                assert answer.content == CONFIRMED
        assert sandbox.connections == 1

    def test_a_drip_is_one_byte_at_a_time_headers_too(self, sandbox):
        sandbox.behave("drip:60")
        with dialled(sandbox) as sock:
            sock.sendall(raw())
            assert sock.recv(100) == b"H"
            sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                sock.recv(1)
        assert len(sandbox.events) == 1

    def test_a_drip_of_the_body_sends_the_headers_at_once(self, sandbox):
        sandbox.behave("drip-body:60")
        with dialled(sandbox) as sock:
            sock.sendall(raw())
            got = b""
            while not got.endswith(b"\r\n\r\n{"):
                got += sock.recv(100)
            sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                sock.recv(1)

    @pytest.mark.parametrize("behaviour", ["drip", "drip-body"])
    def test_a_drip_has_a_pace_of_its_own(self, sandbox, behaviour):
        sandbox.behave(behaviour)
        with dialled(sandbox) as sock:
            sock.sendall(raw())
            begin = time.monotonic()
            got = b""
            while not got.endswith(b"HT" if behaviour == "drip" else b'\r\n{"'):
                got += sock.recv(1)
            assert time.monotonic() - begin >= 0.15

    def test_a_reset_after_is_a_counted_event_without_an_answer(self, sandbox):
        sandbox.behave("reset-after")
        with dialled(sandbox) as sock:
            sock.sendall(raw())
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        (event,) = sandbox.events
        assert (event.status, event.answer, event.counted) == (None, "", True)

    def test_a_reset_before_comes_before_the_body_is_read(self, sandbox):
        sandbox.behave("reset-before")
        with dialled(sandbox) as sock:
            sock.sendall(raw().partition(b"{")[0])
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        (reset,) = sandbox.requests
        assert (reset.body, reset.order_id, reset.status) == (b"", None, None)
        assert sandbox.events == []

    def test_a_reset_before_for_one_order_lets_the_others_pass(self, sandbox):
        sandbox.behave("reset-before", order_id="A")
        assert post(sandbox, order("B")).ok
        with pytest.raises(requests.ConnectionError):
            post(sandbox, order("A"))
        assert [e.order_id for e in sandbox.events] == ["B"]
        assert [r.order_id for r in sandbox.requests] == ["B", "A"]

    def test_a_reset_before_for_all_spares_an_order_with_its_own_script(self, sandbox):
        sandbox.behave("reset-before")
        sandbox.behave("ok", order_id="A")
        assert post(sandbox, order("A")).ok
        with pytest.raises(requests.ConnectionError):
            post(sandbox, order("B"))

    def test_half_a_body_is_less_than_was_promised(self, sandbox):
        sandbox.behave("half-body")
        with dialled(sandbox) as sock:
            sock.sendall(raw())
            head, _, body = everything(sock).partition(b"\r\n\r\n")
        assert f"Content-Length: {len(CONFIRMED)}".encode() in head
        assert body == CONFIRMED[: len(CONFIRMED) // 2]
        assert len(sandbox.events) == 1

    def test_close_answers_and_then_leaves_without_a_word(self, sandbox):
        sandbox.behave("close")
        with dialled(sandbox) as sock:
            sock.sendall(raw())
            got = everything(sock)
        assert got.endswith(CONFIRMED)
        assert b"Connection:" not in got

    def test_a_100_leaves_the_client_waiting_on_a_live_connection(self, sandbox):
        sandbox.behave("100", times=1)
        with dialled(sandbox) as sock:
            sock.sendall(raw())
            head = sock.recv(1000)
            assert head.startswith(b"HTTP/1.1 100 Continue\r\n")
            assert b"Content-Length" not in head
            sock.sendall(raw())
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "OK",
            "ok:1",
            "50",
            "5000",
            "099",
            "hang:5",
            "body",
            "delay",
            "delay:",
            "teapot",
            "500*2*3",
        ],
    )
    def test_an_unknown_behaviour_is_refused_with_the_known_ones(self, sandbox, text):
        with pytest.raises(ValueError, match=r"unknown behaviour[^$]*reset-after"):
            sandbox.behave(text)
        assert sandbox.behaviours == []

    @pytest.mark.parametrize("text", ["delay:x", "delay:-1", "drip:inf", "drip:nan"])
    def test_seconds_that_are_none_are_refused(self, sandbox, text):
        with pytest.raises(ValueError, match="a number of seconds"):
            sandbox.behave(text)

    @pytest.mark.parametrize(
        ("behaviour", "options"),
        [
            ("500", {"times": 0}),
            ("500", {"times": True}),
            ("500", {"times": "3"}),
            ("500*2", {"times": 2}),
            ("500*0", {}),
            (["500", "ok"], {"times": 2}),
            ([], {}),
            ([500], {}),
            (500, {}),
            (b"500", {}),
            ("500", {"order_id": 1}),
            (["500", "teapot"], {}),
        ],
    )
    def test_a_script_is_added_whole_or_not_at_all(self, sandbox, behaviour, options):
        with pytest.raises(ValueError, match=r"times|least once|string|unknown"):
            sandbox.behave(behaviour, **options)
        assert sandbox.behaviours == []


class TestScripts:
    def statuses(self, sandbox, count, order_id="ORD-1"):
        return [post(sandbox, order(order_id)).status_code for _ in range(count)]

    def test_without_times_it_lasts_until_something_else_is_asked_for(self, sandbox):
        sandbox.behave("500")
        assert self.statuses(sandbox, 3) == [500, 500, 500]
        sandbox.behave("ok")
        assert self.statuses(sandbox, 2) == [200, 200]

    def test_times_are_counted_and_several_calls_queue_up(self, sandbox):
        sandbox.behave("500", times=2)
        sandbox.behave("401", times=1)
        assert self.statuses(sandbox, 4) == [500, 500, 401, 200]
        assert sandbox.behaviours == []

    @pytest.mark.parametrize(
        "script",
        [["500*2", "503", "418"], ["500×2", "503 * 1", "418"]],  # noqa: RUF001
    )
    def test_a_list_is_a_script_whose_last_line_lasts(self, sandbox, script):
        sandbox.behave(script)
        assert self.statuses(sandbox, 5) == [500, 500, 503, 418, 418]

    def test_a_star_after_a_colon_belongs_to_the_words(self, sandbox):
        sandbox.behave("429:4*2")
        assert post(sandbox).headers["Retry-After"] == "4*2"

    def test_the_script_of_an_order_goes_before_that_for_all(self, sandbox):
        sandbox.behave("503")
        sandbox.behave("500*2", order_id="ORD-1")
        sandbox.behave("ok", order_id="ORD-2")
        assert self.statuses(sandbox, 3, "ORD-1") == [500, 500, 503]
        assert self.statuses(sandbox, 2, "ORD-2") == [200, 200]
        assert self.statuses(sandbox, 1, "ORD-3") == [503]

    def test_an_event_without_an_order_follows_the_script_for_all(self, sandbox):
        sandbox.behave("503")
        view = changed(event_name="ViewContent", payload={})
        assert post(sandbox, view).status_code == 503

    def test_requests_beside_the_endpoint_use_no_step_up(self, sandbox):
        sandbox.behave("500", times=1)
        assert post(sandbox, path="/redirected").status_code == 404
        assert requests.get(sandbox.url + PATH, timeout=10).status_code == 405
        assert self.statuses(sandbox, 2) == [500, 200]

    def test_what_is_still_to_happen_can_be_read(self, sandbox):
        sandbox.behave("500", times=3)
        sandbox.behave("hang", order_id="ORD-1")
        self.statuses(sandbox, 1, "ORD-2")
        assert sandbox.behaviours == [
            {"behaviour": "500", "times": 2, "order_id": None},
            {"behaviour": "hang", "times": None, "order_id": "ORD-1"},
        ]

    def test_many_threads_use_exactly_the_steps_there_are(self, sandbox):
        sandbox.behave("500", times=60)
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda n: post(sandbox, order(f"O-{n}")), range(160))
            counts = Counter(answer.status_code for answer in answers)
        assert counts == {500: 60, 200: 100}
        assert (sandbox.received_count, sandbox.event_count) == (160, 100)


class TestLedger:
    def test_a_request_is_kept_as_it_came(self, sandbox):
        before = datetime.now(UTC)
        body = b' {"payload" :{"order_id":"\\u00e9","value":1.10}}\n'
        post(sandbox, body, headers={**HEADERS, "User-Agent": "shop/1", "x-A": "é"})
        (got,) = sandbox.requests
        assert (got.method, got.path, got.body) == ("POST", PATH, body)
        assert (got.order_id, got.behaviour, got.status) == ("é", "ok", 400)
        assert json.loads(got.answer)["code"] == "INVALID_ARGUMENT"
        assert got.headers["User-Agent"] == "shop/1"
        assert "x-A" in got.headers
        assert before <= got.received_at <= datetime.now(UTC)
        assert got.received_at.tzinfo is UTC

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"3", b'{"payload": 3}', b'{"payload": {"order_id": 3}}']
    )
    def test_a_body_without_an_order_has_no_order_id(self, sandbox, body):
        post(sandbox, body)
        assert sandbox.requests[0].order_id is None

    def test_a_header_sent_twice_is_one_list(self, sandbox):
        with dialled(sandbox) as sock:
            sock.sendall(raw(headers={**HEADERS, "X-Twice": "a\r\nx-twice: b"}))
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        assert sandbox.requests[0].headers["x-twice"] == "a, b"

    def test_the_key_is_shown_nowhere(self, tmp_path):
        log = tmp_path / "requests.jsonl"
        wrong = KEY[:-1] + "Z"
        with Sandbox(business_id=BUSINESS, api_key=KEY, log=log) as sandbox:
            for name, key in [("X-API-KEY", KEY), ("x-api-key", wrong)]:
                post(sandbox, headers={"Content-Type": "application/json", name: key})
            post(sandbox, headers={**HEADERS, "Authorization": f"Bearer {KEY}"})
            shown = [
                requests.get(sandbox.url + path, timeout=10).text
                for path in ("/", "/events", "/behaviours")
            ]
            shown += [repr(vars(sandbox)), repr(sandbox.requests), log.read_text()]
            assert [r.status for r in sandbox.requests] == [200, 401, 200]
            assert sandbox.requests[0].headers["X-API-KEY"] == "***"
        for text in shown:
            assert KEY not in text
            assert wrong not in text

    def test_a_request_is_in_the_log_before_its_answer_comes(self, tmp_path):
        log = tmp_path / "requests.jsonl"
        with Sandbox(business_id=BUSINESS, api_key=KEY, log=log) as sandbox:
            sandbox.behave(["500", "reset-after", "ok"])
            for number in range(3):
                with contextlib.suppress(requests.ConnectionError):
                    post(sandbox, order(f"O-{number}"))
                assert len(log.read_text().splitlines()) == number + 1
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [line["order_id"] for line in lines] == ["O-0", "O-1", "O-2"]
        assert [line["status"] for line in lines] == [500, None, 200]
        assert [line["counted"] for line in lines] == [False, True, True]
        assert json.loads(lines[2]["body"]) == order("O-2")

    def test_text_that_cannot_be_encoded_is_logged_all_the_same(self, tmp_path):
        log = tmp_path / "requests.jsonl"
        with Sandbox(business_id=BUSINESS, api_key=KEY, log=log) as sandbox:
            assert post(sandbox, order("\ud800")).ok
            post(sandbox, b"\xff")
        assert len(log.read_text().splitlines()) == 2

    def test_only_the_newest_are_kept_and_all_are_counted(self):
        with Sandbox(business_id=BUSINESS, api_key=KEY, keep=3) as sandbox:
            sandbox.behave(["ok", "500", "ok*3", "500"])
            for number in range(6):
                post(sandbox, order(f"O-{number}"))
            assert [r.order_id for r in sandbox.requests] == ["O-3", "O-4", "O-5"]
            assert [e.order_id for e in sandbox.events] == ["O-3", "O-4"]
            assert (sandbox.received_count, sandbox.event_count) == (6, 4)

    def test_clear_forgets_events_and_behaviours(self, sandbox):
        sandbox.behave("500")
        sandbox.behave("hang", order_id="A")
        post(sandbox)
        sandbox.clear()
        assert (sandbox.requests, sandbox.behaviours) == ([], [])
        assert post(sandbox).ok
        assert (sandbox.received_count, sandbox.event_count) == (1, 1)

    def test_waiting_ends_as_soon_as_the_condition_is_true(self, sandbox):
        with ThreadPoolExecutor(1) as pool:
            answers = pool.submit(lambda: [post(sandbox) for _ in range(5)])
            sandbox.wait_for(lambda s: len(s.events) >= 5)
            assert all(answer.ok for answer in answers.result())

    def test_waiting_in_vain_says_what_came_instead(self, sandbox):
        sandbox.behave("500", times=2)
        post(sandbox)
        expected = (
            r"not so within 0.01 s; requests: 1, events counted: 0,"
            r" last statuses: \[500\], still to happen: \[\{'behaviour': '500'"
        )
        with pytest.raises(TimeoutError, match=expected):
            sandbox.wait_for(lambda s: s.events, timeout=0.01)

    def test_a_condition_may_talk_to_the_sandbox_itself(self, sandbox):
        sandbox.wait_for(lambda s: post(s).ok)


class TestServer:
    def test_a_kept_connection_is_one_connection(self, sandbox):
        with requests.Session() as session:
            requests.get(sandbox.url + "/healthz", timeout=10)
            for _ in range(5):
                assert session.post(
                    sandbox.url + PATH, json=PURCHASE, headers=HEADERS, timeout=10
                ).ok
        assert sandbox.connections == 1
        post(sandbox)
        assert sandbox.connections == 2

    def test_two_sandboxes_have_two_ports(self, sandbox):
        with Sandbox(business_id=BUSINESS, api_key=KEY) as other:
            assert sandbox.url != other.url
            post(other)
        assert sandbox.requests == []

    def test_stopping_leaves_nobody_behind(self, sandbox):
        waiting = ["hang", "drip:60", "drip-body:60", "delay:60"]
        for behaviour in waiting:
            sandbox.behave(behaviour, order_id=behaviour)
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(dialled(sandbox)) for _ in range(7)]
            for behaviour, sock in zip(waiting, socks, strict=False):
                sock.sendall(raw(order(behaviour)))
            socks[4].sendall(raw()[:-10])
            socks[5].sendall(b"nonsense\r\n")
            sandbox.wait_for(lambda s: len(s.requests) == 4 and len(talks(s)) == 8)
            begin = time.monotonic()
            sandbox.stop()
            assert time.monotonic() - begin < 5
            assert talks(sandbox) == []
            for sock in socks:
                with contextlib.suppress(ConnectionResetError):
                    everything(sock)

    def test_stopping_cuts_off_the_delay_of_the_sandbox(self, sandbox):
        sandbox.delay = 60
        with dialled(sandbox) as sock:
            sock.sendall(raw())
            sandbox.wait_for(lambda s: s.events)
            sandbox.stop()
            assert everything(sock) == b""

    def test_stopping_twice_or_before_the_start_does_nothing(self, sandbox):
        sandbox.stop()
        sandbox.stop()
        Sandbox(business_id=BUSINESS, api_key=KEY).stop()

    def test_a_stopped_sandbox_refuses_and_comes_back_on_its_port(self, tmp_path):
        log = tmp_path / "log"
        with Sandbox(business_id=BUSINESS, api_key=KEY, log=log) as sandbox:
            url = sandbox.url
            assert post(sandbox).ok
            sandbox.stop()
            with pytest.raises(requests.ConnectionError):
                post(sandbox)
            sandbox.start()
            assert sandbox.url == url
            assert post(sandbox).ok
            assert len(sandbox.events) == 2
            with pytest.raises(RuntimeError, match="started already"):
                sandbox.start()
        assert len(log.read_text().splitlines()) == 2

    def test_a_port_that_is_taken_is_an_error(self, sandbox, tmp_path):
        port = int(sandbox.url.rsplit(":", 1)[1])
        other = Sandbox(
            business_id=BUSINESS, api_key=KEY, port=port, log=tmp_path / "l"
        )
        with pytest.raises(OSError, match="in use"):
            other.start()

    def test_the_url_is_unknown_before_the_start(self):
        with pytest.raises(RuntimeError, match="once the sandbox has been started"):
            _ = Sandbox(business_id=BUSINESS, api_key=KEY).url

    @pytest.mark.parametrize(
        "options", [{"business_id": ""}, {"api_key": ""}, {"keep": 0}]
    )
    def test_a_sandbox_that_cannot_work_is_not_built(self, options):
        with pytest.raises(ValueError, match="must"):
            Sandbox(**{"business_id": BUSINESS, "api_key": KEY, **options})

    def test_an_ipv6_address_is_bracketed(self):
        sandbox = Sandbox(business_id=BUSINESS, api_key=KEY, host="::1")
        try:
            sandbox.start()
        except OSError:
            pytest.skip("no IPv6 here")
        with contextlib.ExitStack() as stack:
            stack.callback(sandbox.stop)
            assert sandbox.url.startswith("http://[::1]:")
            assert post(sandbox).ok
            assert requests.get(sandbox.url + "/events", timeout=10).ok

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"nonsense\r\n\r\n", 400),
            (b"\r\n", 400),
            (b"GET / HTTP/2.0\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
            (b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 20_000 + b"\r\n", 431),
            (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        ],
    )
    def test_what_is_not_http_is_refused_and_hung_up_on(self, sandbox, sent, status):
        with dialled(sandbox) as sock:
            sock.sendall(sent)
            assert everything(sock).startswith(f"HTTP/1.1 {status} ".encode())
        assert sandbox.requests == []

    @pytest.mark.parametrize("cut", [3, 150, -1])
    def test_a_client_that_leaves_in_the_middle_sent_nothing(self, sandbox, cut):
        with dialled(sandbox) as sock:
            sock.sendall(raw()[:cut])
        sandbox.wait_for(lambda s: len(talks(s)) == 1)
        assert sandbox.requests == []

    def test_a_client_that_resets_harms_nobody(self, sandbox):
        sandbox.behave("hang", times=1)
        with dialled(sandbox) as sock:
            sock.sendall(raw())
            sandbox.wait_for(lambda s: s.requests)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sandbox.wait_for(lambda s: len(talks(s)) == 1)
        assert post(sandbox).ok

    @pytest.mark.parametrize(
        "head", ["POST {} HTTP/1.0", "POST {} HTTP/1.1\r\nConnection: close"]
    )
    def test_a_client_that_wants_the_end_gets_it(self, sandbox, head):
        sent = raw().replace(
            f"POST {PATH} HTTP/1.1".encode(), head.format(PATH).encode()
        )
        with dialled(sandbox) as sock:
            sock.sendall(sent)
            got = everything(sock)
        assert b"\r\nConnection: close\r\n" in got
        assert got.endswith(CONFIRMED)

    def test_a_client_that_asks_before_the_body_is_told_to_go_on(self, sandbox):
        head, _, body = raw(headers={**HEADERS, "Expect": "100-continue"}).partition(
            b"\r\n\r\n"
        )
        with dialled(sandbox) as sock:
            sock.sendall(head + b"\r\n\r\n")
            assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(body)
            assert sock.recv(1000).endswith(CONFIRMED)

    def test_requests_sent_in_one_go_are_answered_in_turn(self, sandbox):
        with dialled(sandbox) as sock:
            sock.sendall(raw(order("A")) + raw(order("B")))
            got = b""
            while got.count(CONFIRMED) < 2:
                got += sock.recv(1000)
        assert [e.order_id for e in sandbox.events] == ["A", "B"]

    def test_many_connections_at_once_are_all_served(self, sandbox):
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(dialled(sandbox)) for _ in range(150)]
            for sock in socks:
                sock.sendall(raw())
            for sock in socks:
                assert sock.recv(1000).endswith(CONFIRMED)
        assert sandbox.connections == 150


class TestPage:
    def ask(self, sandbox, path, method="GET", **options):
        return requests.request(method, sandbox.url + path, timeout=10, **options)

    def test_health_is_fine(self, sandbox):
        assert self.ask(sandbox, "/healthz").json() == {"status": "ok"}

    def test_events_and_refusals_are_listed_newest_last(self, sandbox):
        sandbox.behave(["ok", "500", "400:Meta's words", "ok"])
        for number in range(4):
            post(sandbox, order(f"O-{number}"))
        seen = self.ask(sandbox, "/events").json()
        assert [e["order_id"] for e in seen["events"]] == ["O-0", "O-2", "O-3"]
        assert [e["order_id"] for e in seen["refused"]] == ["O-1"]
        assert (seen["received_count"], seen["event_count"]) == (4, 3)
        event = seen["events"][1]
        assert json.loads(event["body"]) == order("O-2")
        assert (event["status"], event["behaviour"]) == (400, "400:Meta's words")
        assert json.loads(event["answer"])["message"] == "Meta's words"
        assert datetime.fromisoformat(event["time"]).tzinfo is not None
        assert event["headers"]["X-API-KEY"] == "***"

    def test_only_what_is_new_can_be_asked_for(self, sandbox):
        for number in range(3):
            post(sandbox, order(f"O-{number}"))
        seen = self.ask(sandbox, "/events?after=2").json()
        assert [e["number"] for e in seen["events"]] == [3]
        assert seen["oldest"] == 1
        assert self.ask(sandbox, "/events?after=x").status_code == 400

    def test_events_can_be_cleared(self, sandbox):
        post(sandbox)
        sandbox.behave("500")
        seen = self.ask(sandbox, "/events", "DELETE").json()
        assert (seen["events"], seen["received_count"], seen["oldest"]) == ([], 0, 2)
        assert sandbox.requests == []
        assert len(sandbox.behaviours) == 1

    def test_behaviours_can_be_added_read_and_cleared(self, sandbox):
        steps = [{"behaviour": "500", "times": 3, "order_id": None}]
        added = self.ask(sandbox, "/behaviours", "POST", json=steps[0])
        assert added.json() == {"behaviours": steps, "delay": 0.0}
        self.ask(
            sandbox, "/behaviours", "POST", json={"behaviour": "hang", "order_id": "A"}
        )
        steps.append({"behaviour": "hang", "times": None, "order_id": "A"})
        assert self.ask(sandbox, "/behaviours").json()["behaviours"] == steps
        assert post(sandbox).status_code == 500
        cleared = self.ask(sandbox, "/behaviours", "DELETE").json()
        assert cleared["behaviours"] == sandbox.behaviours == []

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"{}",
            b'{"behaviour": "teapot"}',
            b'{"behaviour": 500}',
            b'{"behaviour": "body:\\ud800"}',
            b'{"behaviour": "500", "times": 0}',
            b'{"behaviour": "500", "order_id": 1}',
            b'{"behaviour": "500", "time": 1}',
            b"[" * 100_000,
        ],
    )
    def test_a_behaviour_that_is_none_is_refused(self, sandbox, body):
        headers = {"Content-Type": "application/json"}
        answer = self.ask(sandbox, "/behaviours", "POST", data=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_ARGUMENT")
        assert sandbox.behaviours == []

    @pytest.mark.parametrize(
        ("path", "content_type"),
        [
            ("/", "text/html; charset=utf-8"),
            ("/page.css", "text/css; charset=utf-8"),
            ("/page.js", "text/javascript; charset=utf-8"),
            ("/page.svg", "image/svg+xml"),
        ],
    )
    def test_the_page_runs_nothing_but_its_own_files(self, sandbox, path, content_type):
        answer = self.ask(sandbox, path)
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert policy[0] == "default-src 'self'"
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in answer.headers["Content-Security-Policy"]

    def test_the_page_needs_nothing_from_elsewhere(self, sandbox):
        for path in ("/", "/page.css", "/page.js"):
            text = self.ask(sandbox, path).text
            for absent in ("http:", "https:", "url(", "@import", "eval(", "//www"):
                assert absent not in text
        page = self.ask(sandbox, "/").text
        assert re.findall(r"<script[^>]*>", page) == ['<script src="page.js" defer>']
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)

    def test_the_page_puts_in_what_came_as_text(self, sandbox):
        script = self.ask(sandbox, "/page.js").text
        assert "textContent" in script
        for absent in ("innerHTML", "outerHTML", "insertAdjacent", "document.write"):
            assert absent not in script

    def test_an_event_cannot_end_the_json_that_it_is_shown_in(self, sandbox):
        words = "</script><script>alert(1)</script>"
        event = changed(
            cnct_tracking_id=words,
            sendout_id=words,
            attribution__meta_ctwa__ctwa_clid=words,
            payload__order_id=words,
        )
        post(sandbox, event)
        answer = self.ask(sandbox, "/events")
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        (seen,) = answer.json()["events"]
        assert json.loads(seen["body"]) == event

    def test_each_button_asks_for_what_the_sandbox_can_do(self, sandbox):
        page = self.ask(sandbox, "/").text
        offered = re.findall('data-behaviour="([^"]+)"', page)
        assert {name.partition(":")[0] for name in offered} == {
            *("500", "429", "503", "400", "401", "404", "ok"),
            *("redirect", "garbage", "empty", "unconfirmed"),
            *("delay", "drip", "drip-body", "hang"),
            *("reset-before", "reset-after", "half-body", "close"),
        }
        wanted = [
            {
                "behaviour": name.replace("SECONDS", "5").replace("WORDS", "(#100) No"),
                "times": times,
                "order_id": order_id,
            }
            for name in offered
            for times, order_id in ((1, None), (3, "A"), (None, "A"))
        ]
        for one in wanted:
            assert self.ask(sandbox, "/behaviours", "DELETE").json() == {
                "behaviours": [],
                "delay": 0.0,
            }
            said = self.ask(sandbox, "/behaviours", "POST", json=one).json()
            assert said["behaviours"] == [one]

    def test_a_refused_event_comes_with_all_that_is_wrong(self, sandbox):
        answer = post(
            sandbox,
            changed(
                event_name="purchase",
                sendout_id="",
                payload__currency="usd",
                payload__value=ABSENT,
                payload__contents__1__id=2,
                payload__curency="USD",
            ),
        )
        (seen,) = self.ask(sandbox, "/events").json()["refused"]
        assert [fault["field"] for fault in seen["faults"]] == [
            "event_name",
            "sendout_id",
            "payload.curency",
            "payload.currency",
            "payload.contents[1].id",
        ]
        assert seen["faults"][0]["words"] == message(answer)
        assert seen["faults"][1]["words"] == "sendout_id must not be empty"

    @pytest.mark.parametrize(
        ("body", "faults"),
        [
            (changed(payload=ABSENT), {"payload": "payload is required"}),
            (
                {"event_name": "Purchase", "payload": {}},
                {
                    "cnct_tracking_id": "cnct_tracking_id is required",
                    "sendout_id": "sendout_id is required",
                    "attribution": "attribution is required",
                    "payload.currency": "payload.currency is required for a Purchase",
                    "payload.value": "payload.value is required for a Purchase",
                },
            ),
            (b"[]", {"": "the body must be an object, not a list"}),
            (
                b" " * (MAX_BODY + 1),
                {"": f"the body is larger than {MAX_BODY} bytes"},
            ),
        ],
        ids=["payload", "many", "list", "large"],
    )
    def test_faults_are_said_however_little_is_left(self, sandbox, body, faults):
        post(sandbox, body)
        (seen,) = self.ask(sandbox, "/events").json()["refused"]
        assert {f["field"]: f["words"] for f in seen["faults"]} == faults

    def test_nobody_reads_a_million_faults(self, sandbox):
        post(sandbox, changed(payload__content_ids=[1] * 100_000))
        (seen,) = self.ask(sandbox, "/events").json()["refused"]
        assert len(seen["faults"]) == 50

    def test_faults_are_the_events_own(self, sandbox):
        sandbox.behave(["500", "500", "ok"])
        post(sandbox)
        post(sandbox, changed(sendout_id=""))
        post(sandbox)
        post(sandbox, path="/elsewhere")
        seen = self.ask(sandbox, "/events").json()
        counts = [len(one["faults"]) for one in seen["events"] + seen["refused"]]
        assert counts == [0, 0, 1, 0]

    def test_it_says_where_events_go_and_not_with_which_key(self, sandbox):
        answer = self.ask(sandbox, "/about")
        assert answer.json() == {"path": PATH}
        for path in ("/", "/page.js", "/about", "/events"):
            assert KEY not in self.ask(sandbox, path).text

    @pytest.mark.parametrize("path", ["/", "/page.js", "/events", "/behaviours"])
    @pytest.mark.parametrize(
        "headers",
        [
            {"Host": "attacker.example"},
            {"Host": "attacker.example:80"},
            {"Host": "localhost.attacker.example"},
            {"Host": ""},
            {"Host": "a:b:c"},
            {"Host": "[fe80::1]:80"},
            {"Origin": "http://attacker.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        ],
    )
    def test_a_foreign_page_gets_nothing(self, sandbox, path, headers):
        for method in ("GET", "DELETE", "POST"):
            answer = self.ask(sandbox, path, method, headers=headers)
            assert answer.status_code == 403

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]:80"])
    def test_a_page_of_this_host_gets_everything(self, sandbox, host):
        headers = {"Host": host, "Origin": f"http://{host}"}
        assert self.ask(sandbox, "/events", "DELETE", headers=headers).ok

    @pytest.mark.parametrize("site", ["same-origin", "none"])
    def test_the_page_itself_and_its_user_get_everything(self, sandbox, site):
        headers = {"Sec-Fetch-Site": site}
        assert self.ask(sandbox, "/behaviours", "DELETE", headers=headers).ok

    def test_a_link_from_elsewhere_leads_to_the_page_and_changes_nothing(self, sandbox):
        sandbox.behave("500")
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert self.ask(sandbox, "/", headers=headers).ok
        for method in ("POST", "DELETE"):
            answer = self.ask(sandbox, "/behaviours", method, headers=headers)
            assert answer.status_code == 403
        assert len(sandbox.behaviours) == 1

    def test_the_host_that_is_listened_on_is_welcome_by_name(self):
        with Sandbox(business_id=BUSINESS, api_key=KEY, host="0.0.0.0") as sandbox:
            port = sandbox.url.rsplit(":", 1)[1]
            local = f"http://127.0.0.1:{port}/events"
            headers = {"Host": f"0.0.0.0:{port}"}
            assert requests.get(local, headers=headers, timeout=10).ok
            headers = {"Host": f"192.0.2.1:{port}"}
            assert requests.get(local, headers=headers, timeout=10).status_code == 403

    def test_a_form_of_a_foreign_page_changes_nothing(self, sandbox):
        headers = {"Content-Type": "text/plain"}
        answer = self.ask(
            sandbox, "/behaviours", "POST", data=b'{"behaviour":"500"}', headers=headers
        )
        assert answer.status_code == 415
        assert sandbox.behaviours == []

    def test_other_methods_are_told_which_are_allowed(self, sandbox):
        answer = self.ask(sandbox, "/behaviours", "PUT")
        assert (answer.status_code, answer.headers["Allow"]) == (
            405,
            "GET, POST, DELETE",
        )

    def test_a_look_at_the_page_is_no_request_of_the_shop(self, sandbox):
        for path in ("/", "/page.js", "/about", "/events", "/behaviours", "/healthz"):
            connection = http.client.HTTPConnection(
                sandbox.url.removeprefix("http://"), timeout=10
            )
            with contextlib.closing(connection):
                connection.request("HEAD", path)
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (200, b"")
        assert (sandbox.requests, sandbox.connections) == ([], 0)


class TestCommand:
    ARGUMENTS = ("--business-id", BUSINESS, "--api-key", KEY)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_serves_until_it_is_told_to_end(self, tmp_path, number):
        log = tmp_path / "log"
        command = [
            sys.executable,
            "-m",
            "connectly_tracking.sandbox",
            "--log",
            str(log),
        ]
        environment = {
            **os.environ,
            "CONNECTLY_BUSINESS_ID": BUSINESS,
            "CONNECTLY_API_KEY": KEY,
        }
        with subprocess.Popen(
            [*command, "--behave", "500*1", "--behave", "ok"],
            stdout=subprocess.PIPE,
            env=environment,
            cwd=ROOT,
            text=True,
        ) as process:
            assert process.stdout
            url = process.stdout.readline().removeprefix("BASE_URL is ").strip()
            statuses = [
                requests.post(
                    url + PATH, json=PURCHASE, headers=HEADERS, timeout=10
                ).status_code
                for _ in range(2)
            ]
            process.send_signal(number)
            assert KEY not in process.stdout.read()
            assert process.wait(10) == 0
        assert statuses == [500, 200]
        assert len(log.read_text().splitlines()) == 2

    def test_it_wants_a_business_and_a_key(self, monkeypatch, capsys):
        monkeypatch.delenv("CONNECTLY_API_KEY", raising=False)
        with pytest.raises(SystemExit, match="2"):
            main(["--business-id", BUSINESS])
        assert "--api-key are required" in capsys.readouterr().err

    def test_it_says_what_it_does_not_understand(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            main([*self.ARGUMENTS, "--behave", "teapot"])
        assert "unknown behaviour 'teapot'" in capsys.readouterr().err

    def test_it_says_that_the_port_is_taken(self, sandbox, capsys):
        port = sandbox.url.rsplit(":", 1)[1]
        with pytest.raises(SystemExit, match="2"):
            main([*self.ARGUMENTS, "--port", port])
        assert "in use" in capsys.readouterr().err

    def test_it_loads_the_standard_library_alone(self):
        code = (
            "import sys, connectly_tracking.sandbox.__main__;"
            "print(*sys.modules, sep='\\n')"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            check=True,
        )
        loaded = done.stdout.split()
        ours = {name for name in loaded if name.startswith("connectly_tracking.")}
        assert {name.split(".")[1] for name in ours} == {"sandbox"}
        assert not {"django", "requests", "celery", "urllib3"} & set(loaded)
