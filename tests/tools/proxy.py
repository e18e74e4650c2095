"""A link to any server that can be broken at will.

What happens to my checkout if Redis hangs? Point the shop at ``proxy.url``, and see::

    with Proxy("redis://127.0.0.1:6379/0") as proxy:
        proxy.behave("mute")

or, in a terminal, where each line that you type is a behaviour::

    python -m tests.tools.proxy --to redis://127.0.0.1:6379/0
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from .door import Door
from .mode import KNOWN, PASS, Mode
from .relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

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

    Nobody need be there: a proxy accepts before it knows, and resets where it has to.
    ``port`` 0 lets the kernel choose; a proxy that is stopped and started again keeps
    its port and its behaviour. All methods may be called from any thread.
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
        """Raises ``OSError`` where the port is taken."""
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
        """Resets every connection. Does nothing the second time."""
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
        """The server's URL, but for host and port, which are the proxy's."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._before}{host}:{self.port}{self._after}"

    @property
    def connections(self) -> int:
        """How many were ever accepted."""
        return self._relay.connections if self._relay is not None else 0

    def behave(self, behaviour: str) -> None:
        """One of ``KNOWN``, from now on: when this returns, it is so.

        ``refuse`` and ``reset`` also reset the connections there are. ``mute`` and
        ``drop`` silence them; with ``pass`` they go on where they stopped. Raises
        ``ValueError``.
        """
        mode = Mode.from_text(behaviour)
        with self._switch:
            self._ask(lambda relay: relay.obey(mode))
            self._mode = mode

    def cut(self) -> None:
        """Reset every connection there is now."""
        with self._switch:
            self._ask(Relay.cut)

    async def _run(
        self, door: Door, ready: Future[tuple[asyncio.AbstractEventLoop, Relay]]
    ) -> None:
        relay = Relay(door, self._server, connections=self.connections)
        ready.set_result((asyncio.get_running_loop(), relay))
        await relay.until_closed()

    def _ask(self, what: Callable[[Relay], Coroutine[Any, Any, None]]) -> None:
        """To be done on the loop, and wait until it is."""
        if self._thread is not None and self._relay is not None:
            task = asyncio.run_coroutine_threadsafe(what(self._relay), self._loop)
            task.result()


def _parse(to: str | tuple[str, int]) -> tuple[str, tuple[str, int], str]:
    """What stands before host and port, these two, and what stands after them."""
    if not isinstance(to, str):
        host, port = to
        return "tcp://", (host, port), ""
    parts = urlsplit(to)
    port = parts.port or PORTS.get(parts.scheme, 0)
    if not parts.hostname or not port:
        raise ValueError(
            "say where to, as a URL with a host and a port: redis://127.0.0.1:6379/0"
        )
    scheme, _, rest = to.partition("://")
    user, at, _ = parts.netloc.rpartition("@")
    after = rest[len(parts.netloc) :]
    return f"{scheme}://{user}{at}", (parts.hostname, port), after


def main(argv: Sequence[str] | None = None) -> int:
    """Until interrupted or terminated."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.proxy",
        description="A link to a server; each line that you type is what it does next.",
    )
    parser.add_argument("--to", required=True, metavar="URL")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument(
        "--behave", default="pass", metavar="BEHAVIOUR", help=", ".join(KNOWN)
    )
    options = parser.parse_args(argv)
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        proxy = Proxy(options.to, host=options.host, port=options.port)
        proxy.behave(options.behave)
        with proxy:
            _say(f"Use {proxy.url}; Ctrl-C ends it.\nNow: {options.behave}")
            for line in sys.stdin or ():
                _say(_told(proxy, line.strip()))
            signal.pause()
    except KeyboardInterrupt:
        pass
    except (ValueError, OSError) as exc:
        parser.error(str(exc))
    return 0


def _told(proxy: Proxy, text: str) -> str:
    """Do what was typed. Returns what to say of it."""
    try:
        if text == "cut":
            proxy.cut()
            return f"Cut; connections so far: {proxy.connections}"
        proxy.behave(text)
    except (ValueError, OSError) as exc:
        return f"{exc}\n  cut (reset the connections there are)"
    return f"Now: {text}; connections so far: {proxy.connections}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
