"""A Redis of a test's own, which may be killed, paused, emptied and spoiled."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Self

from redis import Redis, RedisError

from example_project.demo.broker import find_server, server_command
from example_project.demo.ports import LOOPBACK

from .process import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .process import Process


class RedisServer:
    """Keeps nothing: what is started again on its port is empty.

    ``client`` is a client of it; its ``config_set`` and ``replicaof`` spoil it.
    """

    def __init__(self, launch: Callable[[list[str]], Process], directory: Path) -> None:
        self._launch, self._directory = launch, directory
        # Held while this lives, so that nobody else takes the port of one that is down,
        # and not listened on, so that it refuses.
        self._hold = socket.socket()
        self._hold.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._hold.bind((LOOPBACK, 0))
        self.port: int = self._hold.getsockname()[1]
        self.url = f"redis://{LOOPBACK}:{self.port}/0"
        self.client = Redis.from_url(self.url, socket_timeout=5)

    def close(self) -> None:
        self.client.close()
        self._hold.close()

    def start(self) -> Self:
        """Empty, whatever it held before."""
        command = server_command(find_server(), self.port, self._directory)
        self._process = self._launch(command)
        until(self._answers)
        return self

    def kill(self) -> None:
        self._process.kill()

    def pause(self) -> None:
        """The kernel still takes connections for it, and nobody answers."""
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def queued(self, queue: str = "celery") -> int:
        """How many wake-ups wait."""
        length: Any = self.client.llen(queue)
        return int(length)

    def _answers(self) -> bool:
        try:
            info: Any = self.client.info("server")
        except RedisError:
            return False
        return bool(info["process_id"] == self._process.pid)
