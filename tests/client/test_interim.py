"""One answer per request, whatever a server sends."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectly_tracking.api import transport
from connectly_tracking.api.verdicts import Outcome

from .certificates import CERTIFICATE, PRIVATE_KEY
from .post import DELIVERED, post, post_to, took
from .server import CONFIRMS, Server, answer, chunked

REFUSES = answer(b"no", status=400)


def interim(status, headers=""):
    return f"HTTP/1.1 {status} Said\r\n{headers}\r\n".encode()


INTERIM = [
    interim(100),
    interim(102),
    interim(103, "Link: </a.css>; rel=preload\r\n"),
    interim(104),
    interim(199, "X: y\r\n" * 50),
    interim(100) + interim(103),
    interim(103) + interim(100) + interim(102),
    interim(103) * transport.MAX_INTERIM,
    b"HTTP/1.1 103\r\n\r\n",
    b"HTTP/1.0 102 Processing\n\n",
]


class TestInterim:
    @pytest.mark.parametrize("first", INTERIM, ids=lambda first: repr(first[:20]))
    def test_each_request_gets_its_own_final_answer(self, first):
        said = [first + REFUSES, first + answer(), REFUSES, first + chunked(CONFIRMS)]
        with Server(*said) as server:
            outcomes = [post(server).outcome for _ in said]
        refused, confirmed = Outcome.REFUSED, Outcome.CONFIRMED
        assert outcomes == [refused, confirmed, refused, confirmed]
        assert server.opened == 1

    def test_it_may_come_long_before_the_final_one(self):
        def slow(talk):
            for status in (100, 102, 103):
                talk.wfile.write(interim(status))
                time.sleep(0.05)
            talk.wfile.write(REFUSES)

        with Server(slow, answer()) as server:
            assert post(server).outcome is Outcome.REFUSED
            assert post(server) == DELIVERED

    @pytest.mark.parametrize("status", [100, 102, 103])
    def test_followed_by_silence_it_is_unknown(self, status):
        def silent(talk):
            talk.wfile.write(interim(status))
            talk.rfile.read()

        with Server(silent, answer()) as server:
            with took(at_least=0.3, at_most=4):
                verdict = post(server, read_timeout=0.3)
            assert (verdict.outcome, verdict.status_code) == (Outcome.UNKNOWN, None)
            assert post(server) == DELIVERED

    @pytest.mark.parametrize("status", [100, 103])
    def test_followed_by_the_end_it_is_unknown(self, status):
        verdict = post_to(interim(status))
        assert (verdict.outcome, verdict.status_code) == (Outcome.UNKNOWN, None)

    @pytest.mark.parametrize("status", [100, 102, 103])
    def test_more_than_a_few_are_unknown(self, status):
        many = interim(status) * (transport.MAX_INTERIM + 1)
        with Server(many + answer(), REFUSES) as server:
            verdict = post(server)
            assert verdict.outcome is Outcome.UNKNOWN
            assert "16 interim answers" in verdict.detail
            assert post(server).outcome is Outcome.REFUSED

    def test_without_end_they_are_left(self):
        def endless(talk):
            while True:
                talk.wfile.write(interim(103, "X: y\r\n"))

        verdict = post_to(endless, read_timeout=60, deadline=60)
        assert (verdict.outcome, verdict.detail) == (
            Outcome.UNKNOWN,
            "HTTPException: more than 16 interim answers",
        )

    def test_headers_without_end_are_left(self):
        def endless(talk):
            while True:
                talk.wfile.write(b"X: " + b"y" * 60_000 + b"\r\n")

        def begins(talk):
            talk.wfile.write(b"HTTP/1.1 103 Early Hints\r\n")
            endless(talk)

        verdict = post_to(begins, read_timeout=60, deadline=60)
        assert verdict.outcome is Outcome.UNKNOWN
        assert f"longer than {transport.MAX_RECEIVED} bytes" in verdict.detail

    def test_one_with_a_body_is_not_an_answer(self):
        said = interim(103, "Content-Length: 5\r\n") + b"words" + answer()
        with Server(said, REFUSES) as server:
            assert post(server).outcome is Outcome.UNKNOWN
            assert post(server).outcome is Outcome.REFUSED


LEFT_OVER = [
    answer() + answer(),
    answer() + REFUSES + REFUSES,
    REFUSES + answer(),
    answer() + b"x",
    answer() + b"\r\n",
    answer(b"no", status=400, length=1),
    answer() + b"HTTP/1.1 2",
    answer() + interim(103),
    chunked(CONFIRMS) + answer(),
    chunked(CONFIRMS, end=b"0\r\nX: trailer\r\n\r\n") + answer(),
    b"HTTP/1.1 204 Said\r\n\r\n" + answer(),
    b"HTTP/1.1 204 Said\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 304 Said\r\nContent-Length: 22\r\n\r\n" + CONFIRMS,
    answer(CONFIRMS.rjust(20_000)) + answer(),
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: keep-alive\r\n\r\n" + answer(),
]
UNCLEAR = [
    answer(headers="Transfer-Encoding: gzip, chunked\r\n"),
    answer(headers="Transfer-Encoding: identity\r\n"),
    b"HTTP/1.1 200 Said\r\nContent-Length: 33\r\n" + chunked(CONFIRMS)[19:],
    b"HTTP/1.1 200 Said\r\nContent-Length: +22\r\n\r\n" + CONFIRMS,
    b"HTTP/1.1 200 Said\r\nContent-Length: 2_2\r\n\r\n" + CONFIRMS,
]


class TestOneAnswer:
    @pytest.mark.parametrize(
        "said", [*LEFT_OVER, *UNCLEAR], ids=lambda said: repr(said[:60] + said[-12:])
    )
    def test_nothing_is_left_for_the_next_request(self, said):
        with Server(said, answer(b"mine", status=402), answer()) as server:
            post(server)
            assert post(server).detail == "mine"
            assert post(server) == DELIVERED
        assert server.opened == 2

    @pytest.mark.parametrize("pause", [0, 0.05])
    def test_an_answer_that_comes_late_is_nobodys(self, pause):
        sent = threading.Event()

        def twice(talk):
            talk.wfile.write(answer())
            time.sleep(pause)
            talk.wfile.write(answer())
            sent.set()

        with Server(twice, REFUSES) as server:
            assert post(server) == DELIVERED
            assert sent.wait(5)
            assert post(server).outcome is Outcome.REFUSED

    def test_half_an_answer_and_its_end_later_are_nobodys(self):
        def halves(talk):
            talk.wfile.write(REFUSES + b"HTTP/1.1 500 Said\r\nX: ")
            time.sleep(0.1)  # meanwhile the next request would have been sent
            talk.wfile.write(b"y\r\nContent-Length: 0\r\n\r\n" + answer())

        with Server(halves, REFUSES) as server:
            assert [post(server).outcome for _ in range(3)] == [Outcome.REFUSED] * 3

    @pytest.mark.parametrize("size", [100, 12_000])
    def test_nor_does_tls_hide_a_second_answer(self, size, tmp_path):
        pem, bundle = tmp_path / "server.pem", tmp_path / "bundle.pem"
        pem.write_text(CERTIFICATE + PRIVATE_KEY)
        bundle.write_text(CERTIFICATE)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        # One record: what is not read stays decrypted, where no poll sees it.
        said = answer(b"x" * size, status=400) + answer()
        with Server(said, REFUSES, answer(), tls=context) as server:
            options = {"ca_bundle": str(bundle)}
            assert post(server, **options).status_code == 400
            assert post(server, **options).detail == "no"
            assert post(server, **options) == DELIVERED
        assert server.opened == 2

    def test_an_answer_before_the_request_is_no_answer(self, monkeypatch):
        connect = socket.socket.connect

        def slowly(sock, address):
            connect(sock, address)
            time.sleep(0.1)

        with socket.create_server(("127.0.0.1", 0)) as listener:

            def speaks_first():
                talk, _ = listener.accept()
                with talk, contextlib.suppress(ConnectionResetError):
                    talk.sendall(answer())
                    heard.append(talk.recv(1000))

            heard: list[bytes] = []
            thread = threading.Thread(target=speaks_first)
            thread.start()
            monkeypatch.setattr(socket.socket, "connect", slowly)
            verdict = post(f"http://127.0.0.1:{listener.getsockname()[1]}")
            thread.join(10)
        assert verdict.outcome is Outcome.NOT_SENT
        assert "before it was asked" in verdict.detail
        assert b"".join(heard) == b""

    @pytest.mark.parametrize("size", [b"-1", b"-5", b"ffffffffffffffff", b"1" * 70_000])
    @pytest.mark.parametrize("status", [200, 400])
    def test_a_chunk_without_end_is_left(self, size, status):
        def endless(talk):
            talk.wfile.write(chunked(status=status, end=size + b"\r\n"))
            while True:
                talk.wfile.write(b"x" * 4096)

        verdict = post_to(endless, read_timeout=60, deadline=60)
        assert verdict.outcome is not Outcome.INTERNAL
        assert "TimeoutError" not in verdict.detail
        assert len(verdict.detail) <= 64 * 1024

    @settings(deadline=None, max_examples=40)
    @given(
        st.lists(
            st.tuples(
                st.lists(st.sampled_from(INTERIM[:5]), max_size=3),
                st.sampled_from([400, 422, 200]),
                st.sampled_from([b"", b"", b"x", b"\r\n\r\n", answer(), interim(103)]),
            ),
            min_size=2,
            max_size=6,
        )
    )
    def test_whatever_follows_each_verdict_is_its_own(self, plan):
        said = [
            b"".join(before) + answer(b"%d" % number, status=status) + after
            for number, (before, status, after) in enumerate(plan)
        ]
        with Server(*said) as server:
            verdicts = [post(server) for _ in plan]
        assert [verdict.detail for verdict in verdicts] == [
            str(number) for number in range(len(plan))
        ]
        assert [it.status_code for it in verdicts] == [status for _, status, _ in plan]
