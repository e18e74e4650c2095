"""An HTTP transport that ends on time and takes one answer for each request.

A read timeout starts anew with every byte, and a connect timeout with every address of
a host. Here each step gets at most what is left of one deadline for the whole exchange.

A connection is used again only if the last answer was final, its end was clear, and
nothing followed it. Otherwise a request could get the answer to the one before it.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
import time
from ssl import SSLWantReadError
from typing import TYPE_CHECKING, Any, Final, cast

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import LocationParseError
from urllib3.util.connection import allowed_gai_family
from urllib3.util.wait import wait_for_read

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from requests import PreparedRequest
    from urllib3 import HTTPResponse, PoolManager, ProxyManager

MAX_INTERIM: Final = 16  # interim answers (RFC 9110, 15.2) before the final one
MAX_RECEIVED: Final = 512 * 1024  # bytes: 64 KiB in chunks of one byte, and the headers

_SWITCHING_PROTOCOLS: Final = 101


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
    """A socket's bytes: bounded in number, each read bounded by the deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timeout = sock.gettimeout()
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open for us
        self._allowed = MAX_RECEIVED
        self._is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if self._is_over:
            return None
        if current_request.remaining <= 0:
            raise TimeoutError("the deadline has passed")
        if self._allowed <= 0:
            raise OSError(f"the answer is longer than {MAX_RECEIVED} bytes")
        self._sock.settimeout(current_request.limit(self._timeout))
        received = self._raw.readinto(memoryview(buffer)[: self._allowed])
        self._allowed -= received or 0
        return received

    def stop(self) -> None:
        """Read nothing more from the socket: what is buffered is all there is."""
        self._is_over = True

    def has_more(self) -> bool:
        """Return whether TLS has decrypted bytes that have not been read."""
        pending = getattr(self._sock, "pending", None)
        return pending is not None and pending() > 0

    def end_connection(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _AnswerReader(io.BufferedReader):
    """One answer's bytes. Ends the connection if others follow them."""

    raw: _TimedReader

    def close(self) -> None:
        if not self.closed:
            self.raw.stop()
            if self.peek(1) or self.raw.has_more():
                self.raw.end_connection()
        super().close()


class _Response(http.client.HTTPResponse):
    """A final answer. Interim answers before it are passed over."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = _AnswerReader(_TimedReader(sock))

    def _read_status(self) -> tuple[str, int, str]:
        """Return the first status line that is final; urllib3's tunnel asks, too."""
        for _ in range(MAX_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == _SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException(f"more than {MAX_INTERIM} interim answers")

    def begin(self) -> None:
        super().begin()
        if not self._has_clear_end():
            self.will_close = True

    def _has_clear_end(self) -> bool:
        """Return whether sender and reader must agree on where the answer ends."""
        if self.status == _SWITCHING_PROTOCOLS:
            return False
        lengths = self.headers.get_all("Content-Length", [])
        if self.headers.get_all("Transfer-Encoding", []):
            return bool(self.chunked) and not lengths
        return all(length.isascii() and length.isdigit() for length in lengths)


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
        if _has_spoken(self.sock):
            raise OSError("the server answered or closed before it was asked")
        current_request.connecting = False

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        current_request.sent = current_request.sent or not current_request.connecting
        super().send(data)


def _has_spoken(sock: socket.socket) -> bool:
    """Return whether data, or the end of data, has come on a new connection."""
    if not hasattr(sock, "pending"):
        return wait_for_read(sock, timeout=0)
    # TLS also receives records of its own; only a read tells them from data.
    timeout = sock.gettimeout()
    sock.settimeout(0)
    try:
        sock.recv(1)
    except (BlockingIOError, SSLWantReadError):
        return False
    finally:
        sock.settimeout(timeout)
    return True


class _SecureConnection(_TimedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _TimedConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class TimedAdapter(HTTPAdapter):
    """Keeps one connection and tries once: the row says when to try again.

    For each request, requests looks up the proxy and the pool, checks the CA bundle,
    and makes an answer that keeps cookies. Here the way of the last request is kept for
    the next one, and the answer is urllib3's own.
    """

    def __init__(self) -> None:
        self._route: tuple[object, ...] | None = None
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def exchange(self, request: PreparedRequest, **options: Any) -> HTTPResponse:
        """Send a request and return its answer, whose body is not read yet."""
        return cast("HTTPResponse", self.send(request, stream=True, **options))

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        route = (request.url, verify, proxies, cert)
        if route != self._route:
            self._route = None
            pool = super().get_connection_with_tls_context(
                request, verify, proxies, cert
            )
            super().cert_verify(pool, request.url, verify, cert)  # type: ignore[no-untyped-call]
            self._pool, self._target = pool, super().request_url(request, proxies)
            self._route = route
        return self._pool

    def cert_verify(self, *_: Any) -> None:
        """It was checked when the pool was looked up."""

    def request_url(self, *_: Any) -> str:
        return self._target

    def build_response(self, req: PreparedRequest, resp: Any) -> Any:
        return resp

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _use_timed_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        if proxy.lower().startswith("socks"):
            raise OSError("SOCKS proxies are not supported. Set PROXIES or NO_PROXY.")
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        _use_timed_pools(manager)
        return manager


def _use_timed_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
