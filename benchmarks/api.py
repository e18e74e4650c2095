"""An API that answers each event after a set time, in a process of its own.

It does little more than read the request, so that what is measured is the sender; the
sandbox checks each event, which takes longer than sending it. It notes when each order
arrived, by the monotonic clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENT: Final = 60.0  # seconds
ORDER: Final = re.compile(rb'"order_id": ?"([^"]*)"')
LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
END: Final = b"\r\n\r\n"


def answer(found: object) -> bytes:
    body = json.dumps(found).encode()
    length = f"Content-Length: {len(body)}".encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + length + END + body
    )


CONFIRMED: Final = answer({"events_received": 1})


class Book:
    """What arrived since the last `reset`; ``connections`` since the API started."""

    def __init__(self) -> None:
        self.connections = 0
        self.reset(0.0)

    def reset(self, delay: float) -> None:
        self.delay = delay
        self.arrivals: dict[str, float] = {}
        self.events = 0

    def note(self, order_id: str) -> None:
        self.events += 1
        self.arrivals.setdefault(order_id, time.monotonic())

    def summary(self) -> dict[str, float]:
        times = list(self.arrivals.values()) or [0.0]
        return {
            "events": self.events,
            "orders": len(self.arrivals),
            "first": times[0],
            "last": times[-1],
            "connections": self.connections,
        }


class Exchange(asyncio.Protocol):
    """One connection's requests."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._buffer = b""
        self._has_sent = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(END)) >= 0:
            length = LENGTH.search(self._buffer, 0, end)
            until = end + len(END) + (int(length[1]) if length else 0)
            if len(self._buffer) < until:
                return
            request, self._buffer = self._buffer[:until], self._buffer[until:]
            self._take(request)

    def _take(self, request: bytes) -> None:
        book, write = self._book, self._transport.write
        match request.split(b" ", 2)[1].decode().split("/")[1:]:
            case ["reset", delay]:
                book.reset(float(delay))
                write(answer({}))
            case ["summary"]:
                write(answer(book.summary()))
            case ["arrivals"]:
                write(answer(book.arrivals))
            case _:
                self._take_event(request)

    def _take_event(self, request: bytes) -> None:
        self._book.connections += not self._has_sent
        self._has_sent = True
        found = ORDER.search(request)
        assert found, request
        self._book.note(found[1].decode())
        if self._book.delay:
            loop = asyncio.get_running_loop()
            loop.call_later(self._book.delay, self._transport.write, CONFIRMED)
        else:
            self._transport.write(CONFIRMED)


@dataclass(frozen=True, kw_only=True)
class Api:
    """What a benchmark asks the API's process."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset(self, delay: float) -> None:
        """Forget what arrived, and answer after so many seconds from now on."""
        self._ask(f"/reset/{delay}")

    def summary(self) -> dict[str, float]:
        """As `Book.summary`: how many arrived, and the first and last time."""
        return self._ask("/summary")

    def arrivals(self) -> dict[str, float]:
        """When each order arrived for the first time."""
        return self._ask("/arrivals")

    def _ask(self, path: str) -> dict[str, float]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENT)
        try:
            connection.request("GET", path)
            found: dict[str, float] = json.loads(connection.getresponse().read())
            return found
        finally:
            connection.close()


@contextmanager
def serving() -> Iterator[Api]:
    """Start an API that answers at once."""
    command = [sys.executable, "-P", str(Path(__file__).resolve())]
    pipe: Final = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Api(port=int(process.stdout.readline()), pid=process.pid)
        finally:
            process.stdin.close()


async def serve() -> None:
    """Print the port, and serve until the standard input ends."""
    loop, book = asyncio.get_running_loop(), Book()
    server = await loop.create_server(lambda: Exchange(book), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
