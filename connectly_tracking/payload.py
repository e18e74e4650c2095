"""An event after inspection: every value checked, nothing left to doubt."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, tzinfo
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Final
from uuid import UUID

from .events import Item
from .exceptions import InvalidEvent
from .iso4217 import CODES

if TYPE_CHECKING:
    from .events import Purchase

MAX_ID: Final = 128  # characters
MAX_AHEAD: Final = 5 * 60  # seconds; two clocks may disagree by that much
MAX_DIGITS: Final = 18  # before the point
MAX_PLACES: Final = 6  # after it: more than any currency has

_MAX_SECONDS: Final = 100_000_000_000  # in some three thousand years
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_STEP: Final = Decimal(1).scaleb(-MAX_PLACES)
_WIDE: Final = Context(prec=MAX_DIGITS + MAX_PLACES + 2)
_ITEM_KEYS: Final = tuple(field.name for field in fields(Item))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One checked entry of ``contents``."""

    id: str
    quantity: int | Decimal
    item_price: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A checked purchase, ready for the wire. ``event_time``: Unix seconds, UTC."""

    order_id: str
    value: Decimal
    currency: str
    event_time: int
    content_type: str
    content_ids: tuple[str, ...]
    num_items: int | Decimal | None
    contents: tuple[Line, ...]

    @classmethod
    def from_purchase(
        cls, purchase: Purchase, *, now: datetime, zone: tzinfo
    ) -> Payload:
        """Check a purchase. Raises InvalidEvent, which names the first wrong field.

        ``now`` is aware; ``zone`` is where a naive ``event_time`` is read.
        """
        contents = _contents(purchase.contents)
        ids = purchase.content_ids
        num_items = purchase.num_items
        return cls(
            order_id=order_id(purchase.order_id),
            value=_amount("value", purchase.value),
            currency=_currency(purchase.currency),
            event_time=unix_time(purchase.event_time, now=now, zone=zone),
            content_type=_text("content_type", purchase.content_type),
            content_ids=(
                tuple(line.id for line in contents)
                if ids is None
                else tuple(
                    _text(f"content_ids[{index}]", value)
                    for index, value in enumerate(_listed("content_ids", ids))
                )
            ),
            num_items=(
                _total(contents)
                if num_items is None
                else _quantity("num_items", num_items)
            ),
            contents=contents,
        )


def order_id(value: object) -> str:
    """Check an order's id; an int or a UUID is its text."""
    return _text("order_id", value)


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
            field, f"is {_kind(value)}; pass a datetime or Unix seconds of the order"
        )
    if seconds <= 0:
        raise InvalidEvent(field, "lies before 1970")
    if seconds > now.timestamp() + MAX_AHEAD:
        raise InvalidEvent(field, "lies in the future; pass when the order was placed")
    return math.floor(seconds)


def _text(field: str, value: object) -> str:
    text = text_of(value)
    if text is None:
        raise InvalidEvent(field, f"is {_kind(value)}; pass a text")
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


def _number(field: str, value: object) -> Decimal:
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
        raise InvalidEvent(field, f"is {_kind(value)}; pass {hint}")
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
    text = format(_WIDE.quantize(number, _STEP), "f")
    return Decimal(text.rstrip("0").rstrip("."))


def _amount(field: str, value: object) -> Decimal:
    number = _number(field, value)
    if number < 0:
        raise InvalidEvent(field, "is negative; a refund cannot be reported")
    return number


def _quantity(field: str, value: object) -> int | Decimal:
    number = _number(field, value)
    if number <= 0:
        raise InvalidEvent(field, "must be more than zero")
    return int(number) if number == number.to_integral_value() else number


def _total(contents: tuple[Line, ...]) -> int | Decimal | None:
    """All quantities; exact whatever the thread's decimal context is."""
    total = Decimal(0)
    for line in contents:
        total = _WIDE.add(total, line.quantity)
    if total == total.to_integral_value():
        return int(total) or None
    return total


def _currency(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidEvent(
            "currency", f"is {_kind(value)}; pass a code of ISO 4217 such as 'USD'"
        )
    code = value.upper()
    if not value.isascii() or code not in CODES:
        raise InvalidEvent("currency", f"{_short(value)} is no code of ISO 4217")
    return code


def _contents(value: object) -> tuple[Line, ...]:
    return tuple(
        _line(f"contents[{index}]", item)
        for index, item in enumerate(_listed("contents", value))
    )


def _line(field: str, value: object) -> Line:
    if isinstance(value, Item):
        item = {key: getattr(value, key) for key in _ITEM_KEYS}
    elif isinstance(value, Mapping):
        item = dict(value)
    elif hasattr(value, "_meta"):
        raise InvalidEvent(
            field,
            f"is a model instance ({type(value).__name__}) and its id is its primary "
            "key; pass Item(id=line.sku, item_price=line.price, …)",
        )
    else:
        raise InvalidEvent(field, f"is {_kind(value)}; pass an Item or a mapping")
    if unknown := sorted(map(_named, item.keys() - set(_ITEM_KEYS)))[:3]:
        raise InvalidEvent(
            field,
            f"has unknown keys {', '.join(unknown)}; an item has "
            f"{', '.join(_ITEM_KEYS)}",
        )
    price = item.get("item_price")
    return Line(
        id=_text(f"{field}.id", item.get("id")),
        quantity=_quantity(f"{field}.quantity", item.get("quantity", 1)),
        item_price=None if price is None else _amount(f"{field}.item_price", price),
    )


def _listed(field: str, value: object) -> tuple[object, ...]:
    if isinstance(value, Exception):
        raise InvalidEvent(field, "could not be read") from value
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(
        value, Iterable
    ):
        raise InvalidEvent(field, f"is {_kind(value)}; pass a list")
    if isinstance(value, Set):
        raise InvalidEvent(
            field, "is a set, which drops equal lines and their order; pass a list"
        )
    return tuple(value)


def _named(key: object) -> str:
    text = text_of(key)
    return _kind(key) if text is None else _short(text)[1:-1]


def _kind(value: object) -> str:
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"the text {_short(value)}"
    return f"of type {type(value).__name__}"


def _short(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:40] + "…")
