"""Whatever the API says gets a verdict, and its words are kept."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectly_tracking.api.client import MAX_ANSWER, Client
from connectly_tracking.api.secret import Secret
from connectly_tracking.api.verdicts import Outcome

from .post import (
    BODY,
    DELIVERED,
    KEY,
    post,
    post_to,
    took,
)
from .server import CONFIRMS, Server, answer, chunked


def endless(talk):
    talk.wfile.write(b"HTTP/1.1 400 Said\r\n\r\n")
    while True:
        talk.wfile.write(b"x" * 4096)


class TestAnswer:
    @pytest.mark.parametrize(
        ("behaviour", "outcome", "status"),
        [
            ("ok", Outcome.CONFIRMED, 200),
            ("299", Outcome.CONFIRMED, 299),
            ("204", Outcome.UNCONFIRMED, 204),
            ("garbage", Outcome.UNCONFIRMED, 200),
            ("empty", Outcome.UNCONFIRMED, 200),
            ("unconfirmed", Outcome.UNCONFIRMED, 200),
            ('body:{"events_received": true}', Outcome.UNCONFIRMED, 200),
            ('body:\ufeff{"events_received": 1}', Outcome.CONFIRMED, 200),
            ("300", Outcome.CONFIGURATION, 300),
            ("304", Outcome.CONFIGURATION, 304),
            ("redirect", Outcome.CONFIGURATION, 307),
            ("400", Outcome.REFUSED, 400),
            ("418", Outcome.REFUSED, 418),
            ("451", Outcome.REFUSED, 451),
            ("401", Outcome.CONFIGURATION, 401),
            ("404", Outcome.CONFIGURATION, 404),
            ("408", Outcome.UNAVAILABLE, 408),
            ("429", Outcome.THROTTLED, 429),
            ("503", Outcome.UNAVAILABLE, 503),
            ("503:7", Outcome.THROTTLED, 503),
            ("520", Outcome.UNAVAILABLE, 520),
            ("599", Outcome.UNAVAILABLE, 599),
            ("999", Outcome.UNAVAILABLE, 999),
            ("101", Outcome.UNAVAILABLE, 101),
            ("hang", Outcome.UNKNOWN, None),
            ("reset-before", Outcome.UNKNOWN, None),
            ("reset-after", Outcome.UNKNOWN, None),
            ("half-body", Outcome.UNKNOWN, None),
        ],
    )
    def test_each_gets_its_verdict_and_leaves_the_next_alone(
        self, sandbox, behaviour, outcome, status
    ):
        sandbox.behave(behaviour, times=1)
        verdict = post(sandbox, read_timeout=0.5 if behaviour == "hang" else 5)
        assert (verdict.outcome, verdict.status_code) == (outcome, status)
        assert post(sandbox) == DELIVERED

    def test_a_wrong_key_or_business_is_the_configurations_fault(self, sandbox):
        wrong_key = post(sandbox, key=Secret("another"))
        assert (wrong_key.outcome, wrong_key.status_code) == ("configuration", 401)
        stranger = Client(base_url=sandbox.url, business_id="x", key=Secret(KEY))
        assert stranger.post(BODY).status_code == 404

    @pytest.mark.parametrize(
        ("headers", "wait"),
        [
            ("Retry-After: 4\r\n", 4),
            ("retry-after:   4  \r\n", 4),
            ("Retry-After: 4\r\nRetry-After: 9\r\n", 60),
            ("Retry-After: soon\r\n", 60),
            ("Retry-After: \xff\r\n", 60),
            ("", 60),
        ],
    )
    def test_the_time_to_wait_is_read(self, headers, wait):
        verdict = post_to(answer(b"", status=429, headers=headers))
        assert (verdict.outcome, verdict.wait) == (Outcome.THROTTLED, wait)

    def test_metas_words_are_kept_whole(self, sandbox):
        words = "(#100) Invalid parameter: " + "ő" * 1000
        sandbox.behave(f"400:{words}")
        assert json.loads(post(sandbox).detail)["message"] == words

    @pytest.mark.parametrize("status", [400, 401, 404, 500])
    @pytest.mark.parametrize(
        "cut",
        [
            lambda status: answer(b'{"mess', status=status, length=99),
            lambda status: chunked(b'{"mess', status=status, end=b""),
            lambda status: chunked(b'{"mess', status=status, end=b"zz\r\n"),
        ],
        ids=["length", "chunk", "bad-chunk"],
    )
    def test_where_the_body_is_cut_the_status_still_decides(self, status, cut):
        whole = post_to(answer(b'{"mess', status=status))
        verdict = post_to(cut(status))
        assert (verdict.outcome, verdict.status_code) == (whole.outcome, status)

    def test_of_a_body_that_is_cut_the_beginning_is_kept(self):
        assert post_to(answer(b"words", status=400, length=99)).detail == "words"

    @pytest.mark.parametrize(
        "cut",
        [
            answer(CONFIRMS, length=len(CONFIRMS) + 1),
            answer(b"", length=5),
            chunked(CONFIRMS, end=b""),
            chunked(CONFIRMS, end=b"zz\r\n"),
            chunked(CONFIRMS, end=b"5\r\nx"),
            answer(headers="Content-Length: 5\r\n"),
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
            b"HTTP/1.1 20x OK\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\x15\x03\x01\x00\x02\x02\x46",
            b"",
        ],
        ids=lambda cut: repr(cut[-24:]),
    )
    def test_without_a_whole_answer_nobody_knows(self, cut):
        verdict = post_to(cut)
        assert (verdict.outcome, verdict.status_code) == (Outcome.UNKNOWN, None)
        assert re.match(r"\w+: \S", verdict.detail)

    def test_a_length_that_is_too_short_confirms_nothing(self):
        with Server(answer(length=5), answer()) as server:
            verdict = post(server)
            assert verdict.outcome is Outcome.UNCONFIRMED
            assert verdict.detail == '{"eve'
            assert post(server) == DELIVERED

    def test_an_interim_answer_is_passed_over(self):
        assert post_to(b"HTTP/1.1 100 Continue\r\n\r\n" + answer()) == DELIVERED

    def test_of_a_long_answer_64_kib_are_read(self):
        for status in (200, 400):
            verdict = post_to(answer(b"x" * MAX_ANSWER * 3, status=status))
            assert verdict.detail == "x" * MAX_ANSWER
        assert MAX_ANSWER == 64 * 1024

    def test_an_answer_of_64_kib_confirms_and_one_byte_more_does_not(self):
        assert post_to(answer(CONFIRMS.rjust(MAX_ANSWER))) == DELIVERED
        verdict = post_to(answer(CONFIRMS.rjust(MAX_ANSWER + 1)))
        assert verdict.outcome is Outcome.UNCONFIRMED

    def test_an_answer_without_end_is_left(self):
        with took(at_most=4):
            assert len(post_to(endless).detail) == MAX_ANSWER

    def test_nothing_that_controls_a_terminal_or_a_database_is_kept(self):
        shown = "a\x00b\x1b[31mred\x07\x7f\x9b\r\nnew\tline\rend\ufffd"
        verdict = post_to(answer(shown.encode() + b"\xff", status=400))
        assert verdict.detail == "ab[31mred\nnew\tlineend\ufffd\ufffd"

    @settings(deadline=None, max_examples=50)
    @given(st.data())
    def test_any_bytes_get_a_verdict(self, data):
        fields = st.sampled_from(
            ["Content-Length", "Transfer-Encoding", "Location", "Set-Cookie", "X"]
        )
        value = st.sampled_from(["", "5", "chunked", "http://[", "\xff"]) | st.text(
            st.characters(max_codepoint=255)
        )
        made = st.builds(
            lambda status, headers, body: (
                f"HTTP/1.1 {status} Said\r\n".encode()
                + "".join(f"{k}: {v}\r\n" for k, v in headers).encode("latin-1")
                + b"\r\n"
                + body
            ),
            st.integers(100, 999),
            st.lists(st.tuples(fields, value), max_size=3),
            st.binary() | st.just(CONFIRMS),
        )
        raw = data.draw(st.binary() | made)
        verdict = post_to(raw)
        assert verdict.outcome in [*Outcome]
        assert verdict.outcome is not Outcome.NOT_SENT
        if verdict.outcome is Outcome.CONFIRMED:
            assert raw.startswith(b"HTTP/1.1 2")
        verdict.detail.encode()

    def test_a_redirect_says_whereto_in_its_own_words(self):
        moved = answer(b"moved", status=302)
        assert post_to(moved).detail == "moved"
