"""What was asked and what was counted, for whoever looks later."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import requests

from connectly_tracking.sandbox import Sandbox

from .ask import (
    BUSINESS,
    HEADERS,
    KEY,
    PATH,
    dialled,
    order,
    post,
    raw,
)


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
            r"not true within 0.01 s; requests: 1, events counted: 0,"
            r" last statuses: \[500\], behaviours to come: \[\{'behaviour': '500'"
        )
        with pytest.raises(TimeoutError, match=expected):
            sandbox.wait_for(lambda s: s.events, timeout=0.01)

    def test_a_condition_may_talk_to_the_sandbox_itself(self, sandbox):
        sandbox.wait_for(lambda s: post(s).ok)
