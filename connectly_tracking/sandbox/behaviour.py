"""What may happen to a request instead of an honest answer, and its spelling."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from .answer import Answer
from .rules import refused_by_meta

if TYPE_CHECKING:
    from collections.abc import Callable

Manner = Literal["whole", "close", "drip", "drip-body", "half-body", "hang", "reset"]

KNOWN: Final = (
    "ok",
    "a status such as 500 or 401",
    "429:SECONDS, 413:…, 503:… (Retry-After, verbatim)",
    "400:WORDS (refused by Meta, and counted)",
    "another status:WORDS",
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
ELSEWHERE: Final = "/redirected"
PACE: Final = "0.2"  # seconds from one dripped byte to the next
GARBAGE: Final = b"<!doctype html>\n<title>Sign in</title>\n<h1>Guest Wi-Fi</h1>\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """``answer`` replaces what the rules say; ``manner`` is how it is sent."""

    text: str
    answer: Answer | None = None
    manner: Manner = "whole"
    seconds: float = 0.0
    deaf: bool = False  # ends before any answer is decided, so nothing is counted
    by_meta: bool = False  # concerns only what Connectly itself has accepted

    @classmethod
    def from_text(cls, text: str) -> Behaviour:
        """Raises ``ValueError``, with the known spellings, for any other."""
        name, colon, argument = text.partition(":")
        if re.fullmatch("[1-9][0-9]{2}", name):
            return _status(text, int(name), argument if colon else None)
        if name in _PLAIN and not colon:
            return _PLAIN[name](text)
        if name in _TAKING and (argument or name not in ("delay", "body")):
            return _TAKING[name](text, argument)
        known = "\n  ".join(KNOWN)
        raise ValueError(f"unknown behaviour {text!r}; the known ones are:\n  {known}")

    @property
    def silent(self) -> bool:
        """Whether the client sees no byte of an answer."""
        return self.manner in ("hang", "reset")

    def decide(self, ruled: Answer) -> Answer | None:
        """The answer decided on, given what the rules say; None: none ever is."""
        if self.deaf:
            return None
        if self.answer is None or (self.by_meta and not ruled.counted):
            return ruled
        return self.answer


OK: Final = Behaviour(text="ok")


def _status(text: str, status: int, argument: str | None) -> Behaviour:
    if status == 400 and argument:
        return Behaviour(text=text, answer=refused_by_meta(argument), by_meta=True)
    words, headers = argument or f"{status}, as scripted", {}
    if 300 <= status <= 399:
        words, headers = "look elsewhere", {"Location": argument or ELSEWHERE}
    elif status in (413, 429, 503) and argument is not None:
        words, headers = "wait", {"Retry-After": argument}
    if 200 <= status <= 299:
        answer = Answer.from_body(b'{"events_received": 1}', status=status)
    else:
        answer = Answer.from_error(status, words, headers)
    if status < 200 or status in (204, 304):
        answer = Answer(status=status, headers=answer.headers)
    return Behaviour(text=text, answer=answer)


def _redirect(text: str, url: str) -> Behaviour:
    # 307 asks for the same POST again: body, key and all.
    return Behaviour(text=text, answer=_status(text, 307, url or None).answer)


def _body(text: str, body: str) -> Behaviour:
    # surrogateescape: so that bytes which are no text can be had, too.
    answer = Answer.from_body(body.encode(errors="surrogateescape"))
    return Behaviour(text=text, answer=answer)


def _seconds(text: str, argument: str) -> float:
    try:
        seconds = float(argument)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{text!r}: after the colon goes a number of seconds")
    return seconds


def _delay(text: str, argument: str) -> Behaviour:
    return Behaviour(text=text, seconds=_seconds(text, argument))


def _drip(text: str, argument: str) -> Behaviour:
    return Behaviour(text=text, manner="drip", seconds=_seconds(text, argument or PACE))


def _drip_body(text: str, argument: str) -> Behaviour:
    seconds = _seconds(text, argument or PACE)
    return Behaviour(text=text, manner="drip-body", seconds=seconds)


def _garbage(text: str) -> Behaviour:
    answer = Answer(status=200, body=GARBAGE, content_type="text/html")
    return Behaviour(text=text, answer=answer)


_PLAIN: Final[dict[str, Callable[[str], Behaviour]]] = {
    "ok": lambda text: Behaviour(text=text),
    "hang": lambda text: Behaviour(text=text, manner="hang", deaf=True),
    "close": lambda text: Behaviour(text=text, manner="close"),
    "half-body": lambda text: Behaviour(text=text, manner="half-body"),
    "reset-before": lambda text: Behaviour(text=text, manner="reset", deaf=True),
    "reset-after": lambda text: Behaviour(text=text, manner="reset"),
    "garbage": _garbage,
    "empty": lambda text: _body(text, ""),
    "unconfirmed": lambda text: _body(text, '{"events_received": 0}'),
    "redirect": lambda text: _redirect(text, ""),
    "drip": lambda text: _drip(text, ""),
    "drip-body": lambda text: _drip_body(text, ""),
}
_TAKING: Final[dict[str, Callable[[str, str], Behaviour]]] = {
    "redirect": _redirect,
    "delay": _delay,
    "drip": _drip,
    "drip-body": _drip_body,
    "body": _body,
}
