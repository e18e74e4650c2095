"""The conversion endpoint: decides on each request, and keeps what it received.

The answer is that of the rules, or of the script's next behaviour.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from .behaviour import OK, Behaviour
from .rules import apply_rules, is_endpoint, order_id_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from .behaviour import Script
    from .wire import Answer, Request

_SECRETS: Final = frozenset({"x-api-key", "authorization", "proxy-authorization"})
_RECHECK: Final = 0.1  # seconds; a condition may depend on more than requests


@dataclass(slots=True, kw_only=True)
class Endpoint:
    """``delay`` and ``meta_max_age`` are seconds, and may change at any time."""

    business_id: str
    api_key: str = field(repr=False)
    ledger: Ledger
    script: Script
    delay: float
    meta_max_age: float | None
    connections: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def is_post(self, request: Request) -> bool:
        return request.method == "POST" and is_endpoint(request.path)

    def count_connection(self) -> None:
        with self._counting:
            self.connections += 1

    def reset_unread(self, request: Request) -> bool:
        """Record a reset before the body is read; False if the script has none."""
        if not self.is_post(request):
            return False
        behaviour = self.script.take_unread()
        if behaviour is None:
            return False
        self.ledger.record(request, behaviour=behaviour, answer=None, order_id=None)
        return True

    def receive(self, request: Request) -> tuple[Behaviour, Answer | None]:
        """Decide on the behaviour and the answer, if any, and record them."""
        order_id = order_id_of(request.body)
        ruled = apply_rules(
            request.method,
            request.path,
            request.fields,
            request.body,
            business_id=self.business_id,
            api_key=self.api_key,
            now=time.time(),
            meta_max_age=self.meta_max_age,
        )
        behaviour = self.script.take(order_id) if self.is_post(request) else OK
        answer = behaviour.decide(ruled)
        self.ledger.record(
            request, behaviour=behaviour, answer=answer, order_id=order_id
        )
        return behaviour, answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request and its answer.

    ``status`` is None and ``answer`` empty if no byte of an answer was sent.
    ``headers`` have their names as sent; the key is ``***``.
    """

    number: int  # from 1, never used again
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes  # verbatim
    received_at: datetime  # UTC
    order_id: str | None
    behaviour: str
    status: int | None
    answer: str
    counted: bool  # Connectly has recorded the event, even if it was refused by Meta

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "time": self.received_at.isoformat(),
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "order_id": self.order_id,
            "behaviour": self.behaviour,
            "status": self.status,
            "answer": self.answer,
            "counted": self.counted,
            "body": self.body.decode(errors="replace"),
        }


class Ledger:
    """Keeps the newest ``keep`` requests; the two counts are of all since ``clear``."""

    def __init__(self, *, log: str | os.PathLike[str] | None, keep: int) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1, not {keep}")
        self._changed = threading.Condition()
        self._log = Path(log) if log is not None else None
        self._file: TextIO | None = None
        self._keep = keep
        self._number = 0
        self._requests: deque[Received] = deque()
        self._events: deque[Received] = deque()
        self.received_count = 0
        self.event_count = 0

    def open(self) -> None:
        if self._log is not None:
            self._file = self._log.open("a", encoding="utf-8")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def record(
        self,
        request: Request,
        *,
        behaviour: Behaviour,
        answer: Answer | None,
        order_id: str | None,
    ) -> None:
        """``answer`` is the one decided on, if any, even if it is not sent."""
        is_sent = answer is not None and not behaviour.is_silent
        headers = {
            name: "***" if name.lower() in _SECRETS else value
            for name, value in request.headers.items()
        }
        with self._changed:
            self._number += 1
            received = Received(
                number=self._number,
                method=request.method,
                path=request.path,
                headers=headers,
                body=request.body,
                received_at=datetime.now(UTC),
                order_id=order_id,
                behaviour=behaviour.text,
                status=answer.status if answer and is_sent else None,
                answer=answer.body.decode(errors="replace")
                if answer and is_sent
                else "",
                counted=answer is not None and answer.counted,
            )
            self._keep_one(received)
            if self._file is not None:
                # Before the answer, so that the log never knows less than the client.
                self._file.write(json.dumps(received.as_json()) + "\n")
                self._file.flush()
            self._changed.notify_all()

    def _keep_one(self, received: Received) -> None:
        if len(self._requests) == self._keep and self._requests.popleft().counted:
            self._events.popleft()
        self._requests.append(received)
        self.received_count += 1
        if received.counted:
            self._events.append(received)
            self.event_count += 1

    @property
    def requests(self) -> list[Received]:
        with self._changed:
            return list(self._requests)

    @property
    def events(self) -> list[Received]:
        with self._changed:
            return list(self._events)

    @property
    def oldest(self) -> int:
        """The number of the oldest request kept, or of the next one if none is."""
        with self._changed:
            return self._number - len(self._requests) + 1

    def clear(self) -> None:
        with self._changed:
            self._requests.clear()
            self._events.clear()
            self.received_count = self.event_count = 0
            self._changed.notify_all()

    def wait_until(self, condition: Callable[[], bool], *, timeout: float) -> bool:
        """Wait for the condition, called without the lock; False after ``timeout``."""
        end = time.monotonic() + timeout
        while True:
            with self._changed:
                number = self._number
            if condition():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                if number == self._number:
                    self._changed.wait(min(left, _RECHECK))
