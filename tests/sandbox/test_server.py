"""It speaks HTTP as a server in the wild does, and ends when it is told to."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest
import requests

from connectly_tracking.sandbox import Sandbox

from .ask import (
    BUSINESS,
    CONFIRMED,
    HEADERS,
    KEY,
    PATH,
    PURCHASE,
    dialled,
    everything,
    order,
    post,
    raw,
    talks,
)


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
            with pytest.raises(RuntimeError, match="already running"):
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
        with pytest.raises(
            RuntimeError, match="not known until the sandbox is started"
        ):
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
