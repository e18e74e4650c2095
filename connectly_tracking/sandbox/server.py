"""The sandbox itself: start, stop, misbehave, wait."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from .behaviour import Script
from .connection import Connection, Listener
from .control import Control
from .endpoint import Endpoint, Ledger, Received

if TYPE_CHECKING:
    import os
    import socket
    from collections.abc import Callable, Sequence


class Sandbox:
    """A fake of Connectly's endpoint, for one business and one key.

    ``port`` 0 is any free port. A sandbox that is stopped and started again keeps its
    port, its requests and its behaviours. Each request is written to ``log`` as a JSON
    line before it is answered. ``delay`` and ``meta_max_age`` (the age from which Meta
    refuses an event; None: never) are seconds. The newest ``keep`` requests are kept.
    """

    def __init__(
        self,
        *,
        business_id: str,
        api_key: str,
        host: str = "127.0.0.1",
        port: int = 0,
        log: str | os.PathLike[str] | None = None,
        delay: float = 0.0,
        keep: int = 10_000,
        meta_max_age: float | None = None,
    ) -> None:
        if not business_id or not api_key:
            raise ValueError("business_id and api_key must not be empty")
        self._ledger = Ledger(log=log, keep=keep)
        self._script = Script()
        self._endpoint = Endpoint(
            business_id=str(business_id),
            api_key=api_key,
            ledger=self._ledger,
            script=self._script,
            delay=delay,
            meta_max_age=meta_max_age,
        )
        self._control = Control(self._endpoint, host=host)
        self._host = host
        self._port = port
        self._listener: Listener | None = None
        self._switch = threading.Lock()

    def start(self) -> Self:
        """Raises OSError if the port is taken."""
        with self._switch:
            if self._listener is not None:
                raise RuntimeError("this sandbox is already running")
            self._ledger.open()
            try:
                self._listener = Listener(self._host, self._port, self._serve)
            except BaseException:
                self._ledger.close()
                raise
            self._port = self._listener.port
        return self

    def stop(self) -> None:
        """End every connection, even one that hangs. May be called again."""
        with self._switch:
            if self._listener is not None:
                self._listener.stop()
                self._listener = None
                self._ledger.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _serve(self, sock: socket.socket, stopping: threading.Event) -> None:
        Connection(sock, stopping, endpoint=self._endpoint, control=self._control).run()

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        if not self._port:
            raise RuntimeError("the port is not known until the sandbox is started")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def requests(self) -> list[Received]:
        """Every request except those of the page, oldest first."""
        return self._ledger.requests

    @property
    def events(self) -> list[Received]:
        """The requests that Connectly has counted, even if the answer was lost."""
        return self._ledger.events

    @property
    def received_count(self) -> int:
        """How many requests came since `clear`, kept or not."""
        return self._ledger.received_count

    @property
    def event_count(self) -> int:
        """How many events were counted since `clear`, kept or not."""
        return self._ledger.event_count

    @property
    def connections(self) -> int:
        """How many connections have carried a POST to the endpoint."""
        return self._endpoint.connections

    @property
    def delay(self) -> float:
        """Seconds before each answer of the endpoint."""
        return self._endpoint.delay

    @delay.setter
    def delay(self, seconds: float) -> None:
        self._endpoint.delay = seconds

    @property
    def behaviours(self) -> list[dict[str, Any]]:
        """The steps to come: ``behaviour``, ``times`` and ``order_id`` of each."""
        return self._script.pending()

    def behave(
        self,
        behaviour: str | Sequence[str],
        *,
        times: int | None = None,
        order_id: str | None = None,
    ) -> None:
        """Misbehave: ``"500"``, ``"429:4"``, ``"hang"``, … (`behaviour.SPELLINGS`).

        ``times`` None lasts until the next call; other calls queue up. ``"500*2"`` is
        twice. In a list, each but the last is once. A behaviour for an order comes
        before one for all. Raises ValueError if it is unknown.
        """
        self._script.add(behaviour, times=times, order_id=order_id)

    def wait_for(
        self, condition: Callable[[Sandbox], object], *, timeout: float = 10.0
    ) -> None:
        """Wait until ``condition(sandbox)`` is true. Raises TimeoutError."""
        if self._ledger.wait_until(lambda: bool(condition(self)), timeout=timeout):
            return
        last = [received.status for received in self.requests[-5:]]
        raise TimeoutError(
            f"not true within {timeout:g} s; requests: {self.received_count},"
            f" events counted: {self.event_count}, last statuses: {last},"
            f" behaviours to come: {self.behaviours}"
        )

    def clear(self) -> None:
        """Forget requests and behaviours; connections and the log stay."""
        self._ledger.clear()
        self._script.clear()
