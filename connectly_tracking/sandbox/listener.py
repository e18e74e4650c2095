"""A port, and a thread for each connection to it; stopping ends them all."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[[socket.socket, threading.Event], None]

BACKLOG: Final = 256


class Listener:
    """``serve`` is called with each socket, and closes it once the event is set."""

    def __init__(self, host: str, port: int, serve: Serve) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server(
            (host, port), family=family, backlog=BACKLOG
        )
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._serve = serve
        self._stopping = threading.Event()
        self._woken, self._waker = socket.socketpair()
        self._sockets: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._accept, name=f"sandbox-{self.port}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._waker.send(b"!")
        self._thread.join()
        for sock in (self._socket, self._woken, self._waker):
            sock.close()
        with self._lock:
            open_ = list(self._sockets.items())
        for thread, sock in open_:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while selector.select() and not self._stopping.is_set():
                # A client may have left before its turn came.
                with contextlib.suppress(OSError):
                    self._start(self._socket.accept()[0])

    def _start(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(
            target=self._run, args=(sock,), name=self._thread.name, daemon=True
        )
        with self._lock:
            self._sockets[thread] = sock
        thread.start()

    def _run(self, sock: socket.socket) -> None:
        try:
            self._serve(sock, self._stopping)
        finally:
            with self._lock:
                del self._sockets[threading.current_thread()]
