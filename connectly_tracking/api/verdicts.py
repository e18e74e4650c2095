"""What an answer of the API means for the event, decided by one pure function.

Only a confirmed answer is a delivery. If Connectly may or may not have counted the
event, it is sent again with the same bytes; after a 400 only if Meta's code says so.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

from .codes import Remedy, code_of

MIN_WAIT: Final = 1.0  # seconds
MAX_WAIT: Final = 6 * 3600.0
DEFAULT_WAIT: Final = 60.0


class Outcome(StrEnum):
    """How one attempt ended."""

    CONFIRMED = "confirmed"
    """2xx, and ``events_received`` is at least 1."""
    UNCONFIRMED = "unconfirmed"
    """2xx without ``events_received``: a captive portal, a maintenance page."""
    REFUSED = "refused"
    """400 and the like: final, although Connectly may have counted the event."""
    TRANSIENT = "transient"
    """400, but Meta may accept the event later; Connectly may have counted it."""
    CONFIGURATION = "configuration"
    """The key, the business, the address, a proxy or Connectly's link to Meta is wrong;
    the event is not."""
    THROTTLED = "throttled"
    """The API asked us to wait."""
    UNAVAILABLE = "unavailable"
    """The API said that it could not answer now."""
    NOT_SENT = "not_sent"
    """No connection: the request did not leave."""
    UNKNOWN = "unknown"
    """The request left, and no complete answer came back."""
    INTERNAL = "internal"
    """An internal error in this app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One attempt's result. ``wait``: seconds that the API asked for, or None.

    ``date``: the answer's own header, unparsed; not part of the verdict on the event.
    """

    outcome: Outcome
    status_code: int | None = None
    detail: str = ""
    wait: float | None = None
    date: str | None = field(default=None, compare=False)

    def in_ascii(self) -> Verdict:
        """Return it for a column whose character set cannot hold the answer's text."""
        plain = self.detail.encode("ascii", "backslashreplace").decode()
        return replace(self, detail=plain)


_API_CONFIGURATION: Final = frozenset({401, 403, 404, 405, 410})
# A proxy or gateway speaks, and would say the same of each event: payment, its own
# login, the protocol, the headers (431, nginx's 494) or the certificate (495 to 497).
_GATEWAY_CONFIGURATION: Final = frozenset({402, 407, 426, 431, 494, 495, 496, 497})
_CONFIGURATION: Final = _API_CONFIGURATION | _GATEWAY_CONFIGURATION
_RETRYABLE: Final = frozenset({408, 409, 421, 423, 425})
_BY_REMEDY: Final = {
    Remedy.REJECT: Outcome.REFUSED,
    Remedy.PAUSE: Outcome.CONFIGURATION,
    Remedy.RETRY: Outcome.TRANSIENT,
}


def verdict_of(
    status: int, body: bytes, retry_after: str | None = None, date: str | None = None
) -> Verdict:
    """Return what an answer means: the status decides, and after a 400 Meta's code.

    The body of a 2xx only confirms. ``retry_after`` and ``date`` are its headers.
    """
    text = body.decode("utf-8-sig", "replace")
    outcome = _outcome(status, text, asks_to_wait=retry_after is not None)
    return Verdict(
        outcome=outcome,
        status_code=status,
        detail="" if outcome is Outcome.CONFIRMED and _is_bare(text) else text,
        wait=_seconds(retry_after) if outcome is Outcome.THROTTLED else None,
        date=date,
    )


def _outcome(status: int, text: str, *, asks_to_wait: bool) -> Outcome:
    if status == 429 or (status in {413, 503} and asks_to_wait):
        return Outcome.THROTTLED
    if 200 <= status < 300:
        return Outcome.CONFIRMED if _confirms(text) else Outcome.UNCONFIRMED
    if 300 <= status < 400 or status in _CONFIGURATION:
        return Outcome.CONFIGURATION
    if status in _RETRYABLE or status >= 500 or status < 200:
        return Outcome.UNAVAILABLE
    return _BY_REMEDY[code_of(text).remedy] if status == 400 else Outcome.REFUSED


def _confirms(text: str) -> bool:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return False
    received = answer.get("events_received") if isinstance(answer, dict) else None
    return (
        isinstance(received, int) and not isinstance(received, bool) and received >= 1
    )


def _is_bare(confirmation: str) -> bool:
    """Whether it says nothing else, such as a trace id."""
    return len(json.loads(confirmation)) == 1


def _seconds(retry_after: str | None) -> float:
    """Return 1 s to 6 h (RFC 9110); one minute if nothing can be read."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        seconds = min(float(text), MAX_WAIT)  # any number of digits
    else:
        try:
            until = parsedate_to_datetime(text)
        except (ValueError, IndexError, OverflowError):
            return DEFAULT_WAIT
        aware = until if until.tzinfo else until.replace(tzinfo=UTC)
        seconds = (aware - datetime.now(UTC)).total_seconds()
    return min(max(math.ceil(seconds), MIN_WAIT), MAX_WAIT)
