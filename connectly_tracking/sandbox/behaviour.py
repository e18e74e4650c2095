"""The ways to misbehave: how they are written, and which of them is next."""

from __future__ import annotations

import math
import re
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from .rules import refused_by_meta
from .wire import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

Mode = Literal["whole", "close", "drip", "drip-body", "half-body", "hang", "reset"]

SPELLINGS: Final = (
    "ok",
    "a status such as 500 or 401",
    "429:SECONDS, 413:…, 503:… (Retry-After, verbatim)",
    "400:MESSAGE (refused by Meta, and counted)",
    "another status:MESSAGE",
    "redirect, redirect:URL, 302:URL",
    "delay:SECONDS",
    "hang",
    "drip, drip:SECONDS",
    "drip-body, drip-body:SECONDS",
    "half-body",
    "close",
    "reset-before",
    "reset-after",
    "garbage",
    "empty",
    "unconfirmed",
    "body:TEXT",
)
REDIRECT_TO: Final = "/redirected"
DRIP_GAP: Final = "0.2"  # seconds between two dripped bytes
GARBAGE: Final = b"<!doctype html>\n<title>Sign in</title>\n<h1>Guest Wi-Fi</h1>\n"

# After a colon, a star belongs to the behaviour.
_COUNTED: Final = re.compile(r"([^:]+?)\s*[*×]\s*([0-9]+)", re.DOTALL)  # noqa: RUF001


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """``answer`` replaces what the rules say; ``mode`` is how it is sent."""

    text: str
    answer: Answer | None = None
    mode: Mode = "whole"
    seconds: float = 0.0
    before_rules: bool = False  # no answer is decided, so nothing is counted
    by_meta: bool = False  # applies only to events that Connectly has accepted

    @classmethod
    def from_text(cls, text: str) -> Behaviour:
        """Raises ValueError, with a list of the known behaviours, for any other."""
        name, colon, argument = text.partition(":")
        if re.fullmatch("[1-9][0-9]{2}", name):
            return _status(text, int(name), argument if colon else None)
        if name in _WITHOUT_ARGUMENT and not colon:
            return _WITHOUT_ARGUMENT[name](text)
        if name in _WITH_ARGUMENT and (argument or name not in ("delay", "body")):
            return _WITH_ARGUMENT[name](text, argument)
        known = "\n  ".join(SPELLINGS)
        raise ValueError(f"unknown behaviour {text!r}; known:\n  {known}")

    @property
    def is_silent(self) -> bool:
        """Whether the client receives no byte of an answer."""
        return self.mode in ("hang", "reset")

    def decide(self, ruled: Answer) -> Answer | None:
        """The answer, given that of the rules; None if no answer is decided."""
        if self.before_rules:
            return None
        if self.answer is None or (self.by_meta and not ruled.counted):
            return ruled
        return self.answer


OK: Final = Behaviour(text="ok")


def _status(text: str, status: int, argument: str | None) -> Behaviour:
    if status == 400 and argument:
        return Behaviour(text=text, answer=refused_by_meta(argument), by_meta=True)
    message, headers = argument or f"{status}, as scripted", {}
    if 300 <= status <= 399:
        message, headers = "moved", {"Location": argument or REDIRECT_TO}
    elif status in (413, 429, 503) and argument is not None:
        message, headers = "try again later", {"Retry-After": argument}
    if 200 <= status <= 299:
        answer = Answer.from_body(b'{"events_received": 1}', status=status)
    else:
        answer = Answer.from_error(status, message, headers)
    if status < 200 or status in (204, 304):
        answer = Answer(status=status, headers=answer.headers)
    return Behaviour(text=text, answer=answer)


def _redirect(text: str, url: str) -> Behaviour:
    # 307 asks for the same POST again: body, key and all.
    return Behaviour(text=text, answer=_status(text, 307, url or None).answer)


def _body(text: str, body: str) -> Behaviour:
    # surrogateescape allows for bytes that are not UTF-8.
    answer = Answer.from_body(body.encode(errors="surrogateescape"))
    return Behaviour(text=text, answer=answer)


def _seconds(text: str, argument: str) -> float:
    try:
        seconds = float(argument)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise ValueError(f"{text!r}: a number of seconds must follow the colon")
    return seconds


def _delay(text: str, argument: str) -> Behaviour:
    return Behaviour(text=text, seconds=_seconds(text, argument))


def _drip(text: str, argument: str) -> Behaviour:
    return Behaviour(
        text=text, mode="drip", seconds=_seconds(text, argument or DRIP_GAP)
    )


def _drip_body(text: str, argument: str) -> Behaviour:
    seconds = _seconds(text, argument or DRIP_GAP)
    return Behaviour(text=text, mode="drip-body", seconds=seconds)


def _garbage(text: str) -> Behaviour:
    answer = Answer(status=200, body=GARBAGE, content_type="text/html")
    return Behaviour(text=text, answer=answer)


_WITHOUT_ARGUMENT: Final[dict[str, Callable[[str], Behaviour]]] = {
    "ok": lambda text: Behaviour(text=text),
    "hang": lambda text: Behaviour(text=text, mode="hang", before_rules=True),
    "close": lambda text: Behaviour(text=text, mode="close"),
    "half-body": lambda text: Behaviour(text=text, mode="half-body"),
    "reset-before": lambda text: Behaviour(text=text, mode="reset", before_rules=True),
    "reset-after": lambda text: Behaviour(text=text, mode="reset"),
    "garbage": _garbage,
    "empty": lambda text: _body(text, ""),
    "unconfirmed": lambda text: _body(text, '{"events_received": 0}'),
    "redirect": lambda text: _redirect(text, ""),
    "drip": lambda text: _drip(text, ""),
    "drip-body": lambda text: _drip_body(text, ""),
}
_WITH_ARGUMENT: Final[dict[str, Callable[[str, str], Behaviour]]] = {
    "redirect": _redirect,
    "delay": _delay,
    "drip": _drip,
    "drip-body": _drip_body,
    "body": _body,
}


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
