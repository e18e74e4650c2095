"""Each way to misbehave does what its name says."""

from __future__ import annotations

import time

import pytest
import requests

from .ask import (
    CONFIRMED,
    HEADERS,
    PATH,
    PURCHASE,
    dialled,
    everything,
    message,
    order,
    post,
    raw,
    talks,
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
