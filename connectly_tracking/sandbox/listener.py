"""A port, and a thread for each connection to it; stopping leaves nobody behind."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Talk = Callable[[socket.socket, threading.Event], None]

BACKLOG: Final = 256


class Listener:
    """``talk`` is run with each socket, closes it, and ends when the event is set."""

    def __init__(self, host: str, port: int, talk: Talk) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server(
            (host, port), family=family, backlog=BACKLOG
        )
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._talk = talk
        self._stopping = threading.Event()
        self._woken, self._waker = socket.socketpair()
        self._talks: dict[threading.Thread, socket.socket] = {}
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
            talks = list(self._talks.items())
        for thread, sock in talks:
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
            self._talks[thread] = sock
        thread.start()

    def _run(self, sock: socket.socket) -> None:
        try:
            self._talk(sock, self._stopping)
        finally:
            with self._lock:
                del self._talks[threading.current_thread()]
