"""One value of an event, checked: or InvalidEvent, which names the field."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Set
from datetime import UTC, date, datetime, tzinfo
from decimal import Context, Decimal
from typing import Final
from uuid import UUID

from ..exceptions import InvalidEvent
from .currencies import CODES

MAX_ID: Final = 128  # characters
MAX_AHEAD: Final = 5 * 60  # seconds; two clocks may disagree by that much
MAX_DIGITS: Final = 18  # before the point
MAX_PLACES: Final = 6  # after it: more than any currency has

_MAX_SECONDS: Final = 100_000_000_000  # in some three thousand years
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_STEP: Final = Decimal(1).scaleb(-MAX_PLACES)
WIDE: Final = Context(prec=MAX_DIGITS + MAX_PLACES + 2)


def order_id(value: object) -> str:
    """Check an order's id; an int or a UUID is its text."""
    return checked_text("order_id", value)


def text_of(value: object) -> str | None:
    """The text of what may serve as an id; None for what may not."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if value.bit_length() <= 4 * MAX_ID else None
    if any(base.__name__ == "Promise" for base in type(value).__mro__):
        return str(value)  # one of Django's lazy strings
    return None


def legible(value: object) -> str:
    """What can be shown and stored of an order's id that was refused."""
    return _CONTROL.sub("\ufffd", text_of(value) or "")[:MAX_ID].strip()


def unix_time(value: object, *, now: datetime, zone: tzinfo) -> int:
    """Check an order's time. Returns whole Unix seconds, UTC."""
    field = "event_time"
    seconds: float
    if isinstance(value, datetime):
        try:
            aware = (
                value if value.utcoffset() is not None else value.replace(tzinfo=zone)
            )
            seconds = (aware - _EPOCH).total_seconds()
        except OverflowError:
            raise InvalidEvent(field, "is out of range") from None
    elif isinstance(value, date):
        raise InvalidEvent(field, "is a date; pass the datetime of the order")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidEvent(field, "is not a finite number")
        if not -_MAX_SECONDS < value < _MAX_SECONDS:
            raise InvalidEvent(field, "looks like milliseconds; pass seconds")
        seconds = value
    else:
        raise InvalidEvent(
            field, f"is {kind_of(value)}; pass a datetime or Unix seconds of the order"
        )
    if seconds <= 0:
        raise InvalidEvent(field, "lies before 1970")
    if seconds > now.timestamp() + MAX_AHEAD:
        raise InvalidEvent(field, "lies in the future; pass when the order was placed")
    return math.floor(seconds)


def checked_text(field: str, value: object) -> str:
    text = text_of(value)
    if text is None:
        raise InvalidEvent(field, f"is {kind_of(value)}; pass a text")
    if not text.strip():
        raise InvalidEvent(field, "is empty")
    if len(text) > MAX_ID:
        raise InvalidEvent(
            field, f"has {len(text)} characters; at most {MAX_ID} are allowed"
        )
    if _CONTROL.search(text):
        raise InvalidEvent(field, "contains control characters")
    if text != text.strip():
        raise InvalidEvent(field, "has white space around it; pass it as it is stored")
    return text


def checked_number(field: str, value: object) -> Decimal:
    number: Decimal | None = None
    if isinstance(value, bool):
        pass
    elif isinstance(value, Decimal):
        number = value
    elif isinstance(value, int):
        number = Decimal(value)
    elif isinstance(value, float):
        number = Decimal(repr(float(value)))
    elif isinstance(value, str) and len(value) <= 64 and _PLAIN_NUMBER.fullmatch(value):
        number = Decimal(value)
    if number is None:
        hint = "value.amount" if hasattr(value, "amount") else "a Decimal"
        raise InvalidEvent(field, f"is {kind_of(value)}; pass {hint}")
    if not number.is_finite():
        raise InvalidEvent(field, "is not a finite number")
    exponent = number.as_tuple().exponent
    is_short = number.adjusted() < MAX_DIGITS
    if is_short and isinstance(exponent, int) and exponent < -MAX_PLACES:
        number = _rounded(number)
    if number and number.adjusted() >= MAX_DIGITS:
        raise InvalidEvent(field, f"has more than {MAX_DIGITS} digits")
    return number or Decimal(0)  # a minus before a zero says nothing


def _rounded(number: Decimal) -> Decimal:
    """Six places, without the zeros that a float's noise leaves behind."""
    text = format(WIDE.quantize(number, _STEP), "f")
    return Decimal(text.rstrip("0").rstrip("."))


def checked_amount(field: str, value: object) -> Decimal:
    number = checked_number(field, value)
    if number < 0:
        raise InvalidEvent(field, "is negative; a refund cannot be reported")
    return number


def checked_quantity(field: str, value: object) -> int | Decimal:
    number = checked_number(field, value)
    if number <= 0:
        raise InvalidEvent(field, "must be more than zero")
    return int(number) if number == number.to_integral_value() else number


def checked_currency(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidEvent(
            "currency", f"is {kind_of(value)}; pass a code of ISO 4217 such as 'USD'"
        )
    code = value.upper()
    if not value.isascii() or code not in CODES:
        raise InvalidEvent("currency", f"{short_of(value)} is no code of ISO 4217")
    return code


def checked_listed(field: str, value: object) -> tuple[object, ...]:
    if isinstance(value, Exception):
        raise InvalidEvent(field, "could not be read") from value
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(
        value, Iterable
    ):
        raise InvalidEvent(field, f"is {kind_of(value)}; pass a list")
    if isinstance(value, Set):
        raise InvalidEvent(
            field, "is a set, which drops equal lines and their order; pass a list"
        )
    return tuple(value)


def named_of(key: object) -> str:
    text = text_of(key)
    return kind_of(key) if text is None else short_of(text)[1:-1]


def kind_of(value: object) -> str:
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"the text {short_of(value)}"
    return f"of type {type(value).__name__}"


def short_of(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:40] + "…")
