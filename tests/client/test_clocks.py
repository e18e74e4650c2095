"""However slow the other side is, a POST ends in time."""

from __future__ import annotations

import socket
import sys

import pytest

from connectly_tracking.api.verdicts import Outcome, Verdict

from .post import (
    BODY,
    DELIVERED,
    client_of,
    post,
    post_to,
    took,
)
from .server import answer


class TestClocks:
    def test_a_server_that_says_nothing_ends_at_the_read_timeout(self, silence):
        with took(at_least=0.3, at_most=4):
            verdict = post(f"http://{silence}", read_timeout=0.3)
        assert verdict == Verdict(
            outcome=Outcome.UNKNOWN, detail="TimeoutError: timed out"
        )

    @pytest.mark.parametrize("read_timeout", [5, None])
    def test_a_server_that_says_nothing_ends_at_the_deadline(
        self, silence, read_timeout
    ):
        with took(at_least=0.3, at_most=4):
            verdict = post(f"http://{silence}", read_timeout=read_timeout, deadline=0.3)
        assert verdict.outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize("behaviour", ["drip:0.1", "drip-body:0.25"])
    def test_an_answer_that_drips_ends_at_the_deadline(self, sandbox, behaviour):
        sandbox.behave(behaviour, times=1)  # would take more than 5 s
        with took(at_least=0.6, at_most=4):
            verdict = post(sandbox, deadline=0.6)
        assert verdict.outcome is Outcome.UNKNOWN
        assert verdict.detail.startswith("TimeoutError: ")
        assert post(sandbox) == DELIVERED

    def test_a_drip_that_ends_in_time_is_an_answer(self, sandbox):
        sandbox.behave("drip:0.002")
        assert post(sandbox) == DELIVERED

    def test_a_refusal_whose_words_drip_is_final_all_the_same(self):
        def drips(talk):
            talk.wfile.write(answer(b"words", status=400, length=99))
            talk.rfile.read()  # until the client leaves

        with took(at_least=0.4, at_most=4):
            verdict = post_to(drips, deadline=0.4)
        assert (verdict.outcome, verdict.status_code) == (Outcome.REFUSED, 400)

    def test_a_deadline_that_has_passed_waits_for_no_answer(self, sandbox):
        verdict = post(sandbox, deadline=0)
        assert verdict.outcome is Outcome.UNKNOWN
        assert verdict.detail == "TimeoutError: the deadline has passed"

    def test_each_post_has_a_deadline_of_its_own(self, sandbox):
        client = client_of(sandbox, deadline=3)
        sandbox.behave("delay:1.1")
        assert [client.post(BODY) for _ in range(3)] == [DELIVERED] * 3

    @pytest.mark.skipif(sys.platform != "linux", reason="fills Linux's queue")
    def test_the_deadline_holds_while_connecting(self, crowd):
        with took(at_most=5):
            post(f"http://{crowd}", connect_timeout=15, deadline=0.2)

    def test_the_deadline_holds_during_the_handshake(self, silence):
        with took(at_most=5):
            post(f"https://{silence}", connect_timeout=15, deadline=0.2)

    @pytest.mark.skipif(sys.platform != "linux", reason="fills Linux's queue")
    def test_the_deadline_holds_over_all_addresses_of_a_host(self, crowd, resolves_to):
        resolves_to(*[crowd] * 8)
        with took(at_least=0.9, at_most=4):
            verdict = post("http://api.connectly.test", proxies={}, deadline=1)
        assert verdict == Verdict(
            outcome=Outcome.NOT_SENT, detail="TimeoutError: timed out"
        )

    @pytest.mark.skipif(sys.platform != "linux", reason="fills Linux's queue")
    def test_the_deadline_holds_over_addresses_and_the_handshake(
        self, crowd, silence, resolves_to
    ):
        resolves_to(crowd, silence)
        with took(at_least=1.9, at_most=3.7):
            verdict = post(
                "https://api.connectly.test",
                proxies={},
                connect_timeout=1.9,
                deadline=2,
            )
        assert verdict.outcome is Outcome.NOT_SENT

    @pytest.mark.skipif(sys.platform != "linux", reason="fills Linux's queue")
    def test_the_next_address_is_tried_after_one_that_does_not_answer(
        self, crowd, sandbox, resolves_to
    ):
        resolves_to(crowd, sandbox.url.removeprefix("http://"))
        with took(at_least=0.3, at_most=4):
            verdict = post("http://api.connectly.test", proxies={}, connect_timeout=0.3)
        assert verdict == DELIVERED

    def test_the_next_address_is_tried_after_one_that_refuses(
        self, sandbox, resolves_to
    ):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            resolves_to(f"127.0.0.1:{port}", sandbox.url.removeprefix("http://"))
            verdict = post("http://api.connectly.test", proxies={})
        assert verdict == DELIVERED
