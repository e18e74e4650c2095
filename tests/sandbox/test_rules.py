"""Every rule of the documented body, and the words for who breaks it."""

from __future__ import annotations

import json
import time

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from connectly_tracking.sandbox import Sandbox
from connectly_tracking.sandbox.rules import BODY_LIMIT, apply_rules

from .ask import (
    ABSENT,
    BUSINESS,
    CONFIRMED,
    HEADERS,
    KEY,
    PATH,
    PURCHASE,
    changed,
    message,
    post,
)


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
            (b'{"a": NaN}', "the body is not JSON: NaN is not a JSON number"),
            (
                b'{"a": -Infinity}',
                "the body is not JSON: -Infinity is not a JSON number",
            ),
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
            assert session.post(
                url, b"x" * (3 * BODY_LIMIT), timeout=10
            ).status_code == (413)
            assert session.post(url, json=PURCHASE, timeout=10).ok
        assert len(sandbox.requests[0].body) == BODY_LIMIT + 1
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
    return apply_rules(
        "POST",
        PATH,
        headers,
        body,
        business_id=BUSINESS,
        api_key=KEY,
        now=time.time(),
    )
