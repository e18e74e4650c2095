"""Where the client posts to."""

from __future__ import annotations

import contextlib
import socket

import pytest

from connectly_tracking.sandbox import Sandbox

from .post import BUSINESS, KEY


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sandbox():
    with Sandbox(business_id=BUSINESS, api_key=KEY) as running:
        yield running


@pytest.fixture
def silence():
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def crowd():
    """A port whose queue is full: it takes no more connections, and refuses none."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=0)
        )
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def resolves_to(monkeypatch):
    """Makes any name a host with these addresses ("127.0.0.1:80"), in this order."""

    def resolve(*addresses):
        pairs = [address.rsplit(":", 1) for address in addresses]
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, int(port)))
            for host, port in pairs
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)

    return resolve
