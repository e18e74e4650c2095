"""The values of a line: text in, what an event holds out."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from django.utils import timezone

from ..api.values import unix_time
from ..exceptions import InvalidEvent

#: So short a number is a date without its dashes rather than a time.
_SECONDS: Final = re.compile(r"\d{9,}(\.\d+)?", re.ASCII)
_NUMBER: Final = re.compile(r"-?\d{1,40}(\.\d{1,20})?", re.ASCII)


class LineFault(InvalidEvent):
    """A line that cannot be reported. Its words quote nothing of the line."""


def amount_of(field: str, text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise LineFault(field, "is no number such as 99.97")
    return Decimal(text)


def text_of(field: str, text: str) -> str:
    return text


def time_of(field: str, text: str) -> float:
    """Unix seconds. Without an offset it is read in the current time zone."""
    given = float(text) if _SECONDS.fullmatch(text) else _iso_time(field, text)
    zone = timezone.get_current_timezone()
    try:
        return unix_time(given, now=datetime.now(UTC), zone=zone)
    except InvalidEvent as exc:
        raise LineFault(field, exc.problem) from exc


def json_of(field: str, text: str) -> Any:
    try:
        found = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise LineFault(field, "is no list of JSON")
    return found


def _iso_time(field: str, text: str) -> datetime:
    if _is_date(text):
        raise LineFault(field, "is a date; write the time of the day, too")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise LineFault(
            field, "is no time; write 2026-11-01T09:30:00+02:00 or Unix seconds"
        ) from None


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
