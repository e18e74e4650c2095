"""Which behaviour is next, for all events or for one order."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from .behaviour import OK, Behaviour

# After a colon, a star belongs to the behaviour.
_COUNTED: Final = re.compile(r"([^:]+?)\s*[*×]\s*([0-9]+)", re.DOTALL)  # noqa: RUF001


@dataclass(slots=True)
class Step:
    behaviour: Behaviour
    times: int | None  # None: until something else is asked for


class Script:
    """Queues of steps; those for an order come before those for all events."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: dict[str | None, deque[Step]] = {}

    def add(
        self,
        behaviour: str | Sequence[str],
        *,
        times: int | None = None,
        order_id: str | None = None,
    ) -> None:
        """Raises ValueError for an unknown behaviour, and then adds nothing."""
        if order_id is not None and not isinstance(order_id, str):
            raise ValueError(f"order_id must be a string or None, not {order_id!r}")
        steps = _steps(behaviour, times)
        with self._lock:
            queue = self._steps.setdefault(order_id, deque())
            if queue and queue[-1].times is None:
                queue.pop()
            queue.extend(steps)

    def take(self, order_id: str | None) -> Behaviour:
        with self._lock:
            return self._take(order_id) or self._take(None) or OK

    def take_unread(self) -> Behaviour | None:
        """Take a reset-before that is next for all orders: the body stays unread."""
        with self._lock:
            queue = self._steps.get(None)
            if queue is None or len(self._steps) > 1:
                return None
            behaviour = queue[0].behaviour
            if not (behaviour.before_rules and behaviour.mode == "reset"):
                return None
            return self._take(None)

    def pending(self) -> list[dict[str, Any]]:
        with self._lock:
            return [
                {
                    "behaviour": step.behaviour.text,
                    "times": step.times,
                    "order_id": order_id,
                }
                for order_id, queue in self._steps.items()
                for step in queue
            ]

    def clear(self) -> None:
        with self._lock:
            self._steps.clear()

    def _take(self, order_id: str | None) -> Behaviour | None:
        queue = self._steps.get(order_id)
        if queue is None:
            return None
        step = queue[0]
        if step.times is not None:
            step.times -= 1
            if not step.times:
                queue.popleft()
            if not queue:
                del self._steps[order_id]
        return step.behaviour


def _steps(behaviour: str | Sequence[str], times: int | None) -> list[Step]:
    if times is not None and (type(times) is not int or times < 1):
        raise ValueError(
            f"times must be a whole number, 1 or greater, or None, not {times!r}"
        )
    if isinstance(behaviour, str):
        return [_step(behaviour, times)]
    if not isinstance(behaviour, Sequence):
        raise ValueError(f"a behaviour must be a string or a list, not {behaviour!r}")
    if times is not None or not behaviour:
        raise ValueError('times is for one behaviour; in a list, write "500*2"')
    *first, last = behaviour
    return [*(_step(text, None, otherwise=1) for text in first), _step(last, None)]


def _step(text: str, times: int | None, *, otherwise: int | None = None) -> Step:
    if not isinstance(text, str):
        raise ValueError(f"a behaviour must be a string, not {text!r}")
    counted = _COUNTED.fullmatch(text)
    if counted is None:
        return Step(Behaviour.from_text(text), times or otherwise)
    if times is not None or not int(counted[2]):
        raise ValueError(f"{text!r}: give the number of times once, and at least 1")
    return Step(Behaviour.from_text(counted[1]), int(counted[2]))
