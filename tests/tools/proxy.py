"""A link to any server that can be broken on demand::

with Proxy("redis://127.0.0.1:6379/0") as proxy:
    proxy.behave("mute")  # what uses proxy.url now hangs
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from .door import Door
from .mode import PASS, Mode
from .relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

PORTS: Final = {
    "amqp": 5672,
    "amqps": 5671,
    "http": 80,
    "https": 443,
    "mysql": 3306,
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "rediss": 6379,
}


class Proxy:
    """``to`` is a URL, or a host and a port.

    The server need not be running: the proxy accepts first, and resets if it must.
    ``port`` 0 is any free port. A proxy that is stopped and started again keeps its
    port and its behaviour. All methods may be called from any thread.
    """

    def __init__(
        self, to: str | tuple[str, int], *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._before, self._server, self._after = _parse(to)
        self._host = host
        self._port = port
        self._mode = PASS
        self._switch = threading.Lock()
        self._thread: threading.Thread | None = None
        self._relay: Relay | None = None

    def start(self) -> Self:
        """Raises OSError if the port is taken."""
        with self._switch:
            if self._thread is not None:
                raise RuntimeError("this proxy has been started already")
            door = Door(self._host, self._port)
            self._port = door.port
            ready: Future[tuple[asyncio.AbstractEventLoop, Relay]] = Future()
            self._thread = threading.Thread(
                target=lambda: asyncio.run(self._run(door, ready)),
                name=f"proxy-{self._port}",
                daemon=True,
            )
            self._thread.start()
            self._loop, self._relay = ready.result()
        try:
            self._ask(lambda relay: relay.obey(self._mode))
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Reset every connection. May be called again."""
        with self._switch:
            if self._thread is not None:
                self._ask(Relay.close)
                self._thread.join()
                self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        if not self._port:
            raise RuntimeError("the port is known once the proxy has been started")
        return self._port

    @property
    def url(self) -> str:
        """The server's URL, with the host and port of the proxy."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._before}{host}:{self.port}{self._after}"

    @property
    def connections(self) -> int:
        """How many have been accepted."""
        return self._relay.connections if self._relay is not None else 0

    def behave(self, behaviour: str) -> None:
        """Do one of ``mode.KNOWN`` from now on; in force when this returns.

        ``refuse`` and ``reset`` also reset the open connections. ``mute`` and ``drop``
        silence them; with ``pass`` they continue. Raises ValueError.
        """
        mode = Mode.from_text(behaviour)
        with self._switch:
            self._ask(lambda relay: relay.obey(mode))
            self._mode = mode

    def cut(self) -> None:
        """Reset every open connection."""
        with self._switch:
            self._ask(Relay.cut)

    async def _run(
        self, door: Door, ready: Future[tuple[asyncio.AbstractEventLoop, Relay]]
    ) -> None:
        relay = Relay(door, self._server, connections=self.connections)
        ready.set_result((asyncio.get_running_loop(), relay))
        await relay.until_closed()

    def _ask(self, what: Callable[[Relay], Coroutine[Any, Any, None]]) -> None:
        """Run it on the loop, and wait until it is done."""
        if self._thread is not None and self._relay is not None:
            task = asyncio.run_coroutine_threadsafe(what(self._relay), self._loop)
            task.result()


def _parse(to: str | tuple[str, int]) -> tuple[str, tuple[str, int], str]:
    """The part of a URL before host and port, these two, and the part after them."""
    if not isinstance(to, str):
        host, port = to
        return "tcp://", (host, port), ""
    parts = urlsplit(to)
    port = parts.port or PORTS.get(parts.scheme, 0)
    if not parts.hostname or not port:
        raise ValueError(
            "give a URL with a host and a port, such as redis://127.0.0.1:6379/0"
        )
    scheme, _, rest = to.partition("://")
    user, at, _ = parts.netloc.rpartition("@")
    after = rest[len(parts.netloc) :]
    return f"{scheme}://{user}{at}", (parts.hostname, port), after
