"""An HTTP transport that ends on time and knows whether the request has left.

A read timeout starts anew with every byte, and a connect timeout with every address of
a host. Here each step gets at most what is left of one deadline for the whole exchange.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import LocationParseError
from urllib3.util.connection import allowed_gai_family

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from urllib3 import PoolManager, ProxyManager


class CurrentRequest(threading.local):
    """The request that this thread is making."""

    deadline = float("inf")  # on the monotonic clock
    sent = False  # whether a byte of the request may have reached the server
    connecting = False

    def begin(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.sent = self.connecting = False

    @property
    def remaining(self) -> float:
        return self.deadline - time.monotonic()

    def limit(self, timeout: float | None) -> float:
        """Return a timeout that ends no later than the deadline. Zero is no timeout."""
        limit = self.remaining if timeout is None else min(timeout, self.remaining)
        return max(limit, 0.001)


current_request = CurrentRequest()


class _TimedReader(io.RawIOBase):
    """A socket's bytes, each read bounded by the request's deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timeout = sock.gettimeout()
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open for us

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if current_request.remaining <= 0:
            raise TimeoutError("the deadline has passed")
        self._sock.settimeout(current_request.limit(self._timeout))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_TimedReader(sock))


class _TimedConnection(HTTPConnection):
    """Connects within the deadline, and notes when a request begins to leave.

    A proxy's CONNECT does not count as the request.
    """

    response_class = _Response

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers, as urllib3 does, but in time."""
        host, any_family = self._dns_host.strip("[]"), allowed_gai_family()
        try:
            found = socket.getaddrinfo(host, self.port, any_family, socket.SOCK_STREAM)
        except UnicodeError as exc:
            raise LocationParseError(host) from exc
        for tried, (family, kind, protocol, _, address) in enumerate(found, 1):
            try:
                return self._connected(socket.socket(family, kind, protocol), address)
            except OSError:
                if tried == len(found) or current_request.remaining <= 0:
                    raise
        raise OSError("the host has no address")

    def _connected(self, sock: socket.socket, address: Any) -> socket.socket:
        try:
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(current_request.limit(self.timeout))
            sock.connect(address)
            sock.settimeout(current_request.limit(self.timeout))  # for a handshake
        except BaseException:
            sock.close()
            raise
        return sock

    def connect(self) -> None:
        current_request.connecting = True
        super().connect()
        current_request.connecting = False

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        current_request.sent = current_request.sent or not current_request.connecting
        super().send(data)


class _SecureConnection(_TimedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _TimedConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class TimedAdapter(HTTPAdapter):
    """Keeps one connection and tries once: the row says when to try again."""

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
