"""The proxy's side on the event loop: accepts, holds back, resets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from connectly_tracking.sandbox.wire import arm_reset

from .link import Link, Passage
from .mode import PASS

if TYPE_CHECKING:
    import socket

    from .door import Door
    from .mode import Mode


class Relay:
    """``connections`` is the count so far. Belongs to the running loop."""

    def __init__(
        self, door: Door, server: tuple[str, int], *, connections: int
    ) -> None:
        self.connections = connections
        self._door = door
        self._server = server
        self._mode = PASS
        self._passage = Passage()
        self._links: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._loop = asyncio.get_running_loop()
        self._closed = asyncio.Event()

    async def obey(self, mode: Mode) -> None:
        """Raises OSError if the system cannot do it."""
        self._mode = mode
        self._passage.hold(mode.seconds)
        self._ignore()
        if mode.door == "open":
            self._listener = self._door.open()
            self._loop.add_reader(self._listener, self._welcome)
        elif mode.door == "shut":
            self._door.shut()
        else:
            self._door.jam()
        if mode.resets:
            await self.cut()

    async def cut(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        if links:
            await asyncio.wait(links)

    async def close(self) -> None:
        self._ignore()
        self._door.close()
        await self.cut()
        self._closed.set()

    async def until_closed(self) -> None:
        await self._closed.wait()

    def _ignore(self) -> None:
        """Stop accepting; a socket must not be closed while it is watched."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener = None

    def _welcome(self) -> None:
        client = self._door.accept()
        if client is None:
            return
        self.connections += 1
        if self._mode.resets:
            arm_reset(client)
            client.close()
            return
        task = Link(client, self._server, self._passage).task
        self._links.add(task)
        task.add_done_callback(self._links.discard)
