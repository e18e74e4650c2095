"""An HTTP transport that ends on time and knows whether the request has left.

A read timeout counts anew for every byte, so an answer that drips can hold a connection
for minutes; here each read gets what is left of one deadline for the whole exchange.
"""

from __future__ import annotations

import http.client
import io
import threading
import time
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    import socket

    from _typeshed import WriteableBuffer
    from urllib3 import PoolManager, ProxyManager


class Exchange(threading.local):
    """The request that this thread has in hand."""

    deadline = float("inf")  # on the monotonic clock
    sent = False  # whether a byte of the request may have reached the server
    connecting = False

    def begin(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.sent = self.connecting = False

    @property
    def remaining(self) -> float:
        return self.deadline - time.monotonic()


exchange = Exchange()


class _TimedReader(io.RawIOBase):
    """A socket's bytes, each read bounded by the deadline of the exchange."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._patience = sock.gettimeout()
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open for us

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        remaining = exchange.remaining
        if remaining <= 0:
            raise TimeoutError("the deadline has passed")
        patience = self._patience
        self._sock.settimeout(
            remaining if patience is None else min(patience, remaining)
        )
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_TimedReader(sock))


class _Watched:
    """Notes when a request begins to leave; a proxy's CONNECT does not count."""

    def connect(self) -> None:
        exchange.connecting = True
        patience = vars(self)["timeout"]
        vars(self)["timeout"] = max(min(patience, exchange.remaining), 0.001)
        super().connect()  # type: ignore[misc]
        exchange.connecting = False

    def send(self, data: Any) -> None:
        if self.sock is None:  # type: ignore[attr-defined]
            self.connect()
        exchange.sent = exchange.sent or not exchange.connecting
        super().send(data)  # type: ignore[misc]


class _Connection(_Watched, HTTPConnection):
    response_class = _Response


class _SecureConnection(_Watched, HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class TimedAdapter(HTTPAdapter):
    """Keeps one connection and tries once: when to try again is written in the row."""

    def __init__(self) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _use_timed_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        _use_timed_pools(manager)
        return manager


def _use_timed_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
