"""One connection through the proxy: the data of each side, held back or passed on."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from typing import TYPE_CHECKING, Final

from connectly_tracking.sandbox.wire import arm_reset

if TYPE_CHECKING:
    Said = asyncio.Queue[tuple[float, bytes | None]]

_PIECE: Final = 64 * 1024
_AHEAD: Final = 16  # pieces heard and not yet passed on


class Passage:
    """Holds each piece back for so many seconds; with ``inf`` it is closed."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._changed = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        return self._seconds == math.inf

    def hold(self, seconds: float) -> None:
        self._seconds = seconds
        self._changed.set()
        self._changed = asyncio.Event()

    async def opened(self) -> None:
        while self.is_closed:
            await self._changed.wait()

    async def wait(self, heard_at: float) -> None:
        now = asyncio.get_running_loop().time
        while (left := heard_at + self._seconds - now()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if self.is_closed else left):
                    await self._changed.wait()


class Link:
    """Ends when both sides have ended; otherwise both get a RST.

    While the passage is closed, no connection to the server is made, the client's data
    is kept, and it is lost if the client leaves.
    """

    def __init__(
        self, client: socket.socket, server: tuple[str, int], passage: Passage
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = server
        self._passage = passage
        _prepare(client)
        self._sockets = [client]
        self._over = False
        self.task = self._loop.create_task(self._run(client))
        # Not in `finally`: that of a task cancelled before its first step never runs.
        self.task.add_done_callback(self._close)

    async def _run(self, client: socket.socket) -> None:
        question: Said = asyncio.Queue(_AHEAD)
        answer: Said = asyncio.Queue(_AHEAD)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hear(client, question, patient=False))
                await self._passage.opened()
                server = await self._dial()
                tasks.create_task(self._tell(server, question))
                tasks.create_task(self._hear(server, answer, patient=True))
                tasks.create_task(self._tell(client, answer))
            self._over = True
        except* OSError:
            pass

    async def _dial(self) -> socket.socket:
        host, port = self._server
        refused = OSError(f"no address of {host}")
        for family, kind, protocol, _, address in await self._loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            self._sockets.append(sock)
            _prepare(sock)
            try:
                await self._loop.sock_connect(sock, address)
            except OSError as exc:
                refused = exc
            else:
                return sock
        raise refused

    async def _hear(self, source: socket.socket, said: Said, *, patient: bool) -> None:
        piece: bytes | None = b"?"
        while piece:
            try:
                piece = await self._loop.sock_recv(source, _PIECE)
            except OSError:
                piece = None
            if not piece and not patient and self._passage.is_closed:
                raise ConnectionAbortedError("the client did not wait")
            await said.put((self._loop.time(), piece))

    async def _tell(self, sink: socket.socket, said: Said) -> None:
        while True:
            heard_at, piece = await said.get()
            await self._passage.wait(heard_at)
            if piece is None:
                raise ConnectionResetError("the other side was reset")
            if not piece:
                sink.shutdown(socket.SHUT_WR)
                return
            await self._loop.sock_sendall(sink, piece)

    def _close(self, _: object) -> None:
        for sock in self._sockets:
            if not self._over:
                arm_reset(sock)
            sock.close()


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
