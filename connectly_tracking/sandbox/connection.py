"""One connection: reads requests, and sends answers whole, broken or not at all.

The listener has a thread for each connection to its port; stopping it ends them all.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Final

from .behaviour import OK, Behaviour
from .rules import BODY_LIMIT
from .wire import (
    Answer,
    Request,
    WireError,
    arm_reset,
    encode_head,
    read_body,
    read_head,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .control import Control
    from .endpoint import Endpoint

    Serve = Callable[[socket.socket, threading.Event], None]

BACKLOG: Final = 256


class Connection:
    def __init__(
        self,
        sock: socket.socket,
        stopping: threading.Event,
        *,
        endpoint: Endpoint,
        control: Control,
    ) -> None:
        self._socket = sock
        self._stopping = stopping
        self._endpoint = endpoint
        self._control = control
        self._reader = sock.makefile("rb")
        self._counted = False

    def run(self) -> None:
        """Run until the client leaves, an answer ends it, or the sandbox stops."""
        try:
            while self._exchange():
                pass
        except WireError as exc:
            self._refuse(Answer.from_error(exc.status, exc.message))
        except ConnectionError:
            pass
        finally:
            self._reader.close()
            self._socket.close()

    def _exchange(self) -> bool:
        """Handle one request; False if the connection ends with it."""
        request = read_head(self._reader)
        if request is None:
            return False
        if self._endpoint.is_post(request) and not self._counted:
            self._counted = True
            self._endpoint.count_connection()
        if self._endpoint.reset_unread(request):
            arm_reset(self._socket)
            return False
        if request.awaits_continue:
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not read_body(self._reader, request, limit=BODY_LIMIT):
            return False
        answer = self._control.answer(request)
        if answer is not None:
            return self._send(answer, request, OK)
        behaviour, answer = self._endpoint.receive(request)
        delay = behaviour.seconds if behaviour.mode == "whole" else 0.0
        if self._wait(self._endpoint.delay + delay):
            return False
        if behaviour.mode == "reset":
            arm_reset(self._socket)
            return False
        if answer is None:
            self._drain()
            return False
        return self._send(answer, request, behaviour)

    def _send(self, answer: Answer, request: Request, behaviour: Behaviour) -> bool:
        head = encode_head(answer, close=not request.keep_alive)
        body = b"" if request.method == "HEAD" else answer.body
        if behaviour.mode == "drip":
            head, body, dripped = b"", b"", head + body
        elif behaviour.mode == "drip-body":
            body, dripped = b"", body
        else:
            dripped = b""
        if behaviour.mode == "half-body":
            body = body[: len(body) // 2]
        self._socket.sendall(head + body)
        for byte in dripped:
            self._socket.sendall(bytes((byte,)))
            if self._wait(behaviour.seconds):
                return False
        return request.keep_alive and behaviour.mode not in ("close", "half-body")

    def _wait(self, seconds: float) -> bool:
        """Wait; True if the sandbox stops meanwhile."""
        return seconds > 0 and self._stopping.wait(seconds)

    def _drain(self) -> None:
        """Read until the client leaves, or stopping shuts the socket."""
        while self._socket.recv(64 * 1024):
            pass

    def _refuse(self, answer: Answer) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(encode_head(answer, close=True) + answer.body)
            # Closing with unread bytes would send a RST, and the answer might be lost.
            self._socket.shutdown(socket.SHUT_WR)
            self._drain()


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
