"""A connection is kept for the next POST, and belongs to one thread."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from connectly_tracking.api.client import MAX_ANSWER
from connectly_tracking.api.verdicts import Outcome

from .post import (
    BODY,
    BUSINESS,
    DELIVERED,
    KEY,
    ROOT,
    post,
    took,
)
from .server import CONFIRMS, Server, answer, chunked


class Server6(Server):
    address_family = socket.AF_INET6
    host = "::1"


class TestConnection:
    @pytest.mark.parametrize(
        "whole",
        [
            answer(),
            chunked(CONFIRMS),
            chunked(*(bytes([byte]) for byte in CONFIRMS)),
            answer(b"no", status=400),
            answer(b"x" * (MAX_ANSWER - 1), status=400),
            chunked(b"no", status=500),
            b"HTTP/1.1 204 Said\r\n\r\n",
        ],
        ids=lambda whole: repr(whole[:40]),
    )
    def test_one_is_enough_for_many_posts_of_a_thread(self, whole):
        with Server(whole) as server:
            verdicts = {post(server).outcome for _ in range(5)}
        assert (server.opened, len(server.asked), len(verdicts)) == (1, 5, 1)

    def test_each_thread_keeps_its_own(self, sandbox):
        together = threading.Barrier(4)

        def posts(_):
            together.wait(timeout=10)
            return [post(sandbox) for _ in range(5)]

        with ThreadPoolExecutor(4) as pool:
            assert [*pool.map(posts, range(4))] == [[DELIVERED] * 5] * 4
        assert sandbox.connections == 4

    def test_a_forked_child_opens_its_own(self, sandbox):
        script = (
            "import os, sys\n"
            "from connectly_tracking.api.client import Client\n"
            "from connectly_tracking.api.secret import Secret\n"
            "url, business, key, body = sys.argv[1:]\n"
            "client = Client(base_url=url, business_id=business, key=Secret(key))\n"
            "outcomes = [client.post(body).outcome]\n"
            "child = os.fork()\n"
            "outcomes.append(client.post(body).outcome)\n"
            "if child:\n"
            "    assert os.waitpid(child, 0)[1] == 0\n"
            "    outcomes.append(client.post(body).outcome)\n"
            "os._exit(set(outcomes) != {'confirmed'})\n"
        )
        arguments = [sandbox.url, BUSINESS, KEY, BODY]
        subprocess.run(
            [sys.executable, "-c", script, *arguments], cwd=ROOT, check=True, timeout=60
        )
        assert (sandbox.connections, sandbox.event_count) == (2, 4)

    def test_one_closed_before_its_next_use_is_replaced(self):
        with Server(answer(), keep=False) as server:
            for _ in range(3):
                assert post(server) == DELIVERED
                assert server.closed.acquire(timeout=10)
        assert server.opened == 3

    def test_one_closed_at_its_next_use_leaves_it_unknown_and_is_replaced(self):
        def hangs_up(talk):
            talk.request.shutdown(socket.SHUT_RDWR)

        with Server(answer(), hangs_up, answer()) as server:
            assert post(server) == DELIVERED
            verdict = post(server)
            assert verdict.outcome is Outcome.UNKNOWN
            assert verdict.detail.startswith("RemoteDisconnected: ")
            assert post(server) == DELIVERED
        assert len(server.asked) == 3

    def test_one_that_is_refused_sends_nothing(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            verdict = post(f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert verdict.outcome is Outcome.NOT_SENT
        assert verdict.detail.startswith("ConnectionRefusedError: ")

    def test_a_name_that_is_not_known_sends_nothing(self, monkeypatch):
        def fails(*args, **options):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fails)
        verdict = post("https://api.connectly.test", proxies={})
        assert verdict.outcome is Outcome.NOT_SENT
        assert verdict.detail.startswith("gaierror: ")
        assert "Name or service not known" in verdict.detail

    @pytest.mark.parametrize(
        "url",
        [
            *["http://", "http://[::1", "gopher://x", "", "http://%"],
            *["http://a..b", f"http://{'x' * 64}.test"],
        ],
    )
    def test_an_address_that_is_none_sends_nothing(self, url):
        assert post(url, proxies={}).outcome is Outcome.NOT_SENT

    @pytest.mark.parametrize("body", ["\ud800", b"bytes", None])
    def test_a_body_that_is_no_text_is_an_error_of_our_own(self, sandbox, body):
        verdict = post(sandbox, body=body)
        assert verdict.outcome is Outcome.INTERNAL
        assert sandbox.requests == []

    @pytest.mark.skipif(sys.platform != "linux", reason="fills Linux's queue")
    def test_a_connect_that_takes_too_long_sends_nothing(self, crowd):
        with took(at_least=0.3, at_most=5):
            verdict = post(f"http://{crowd}", connect_timeout=0.3)
        assert verdict.outcome is Outcome.NOT_SENT
        assert "timed out" in verdict.detail

    def test_an_ipv6_address_is_one(self):
        try:
            server = Server6(answer())
        except OSError:
            pytest.skip("there is no IPv6")
        with server:
            port = server.server_address[1]
            assert post(f"http://[::1]:{port}") == DELIVERED
