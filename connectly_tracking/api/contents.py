"""What was bought or looked at, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Final

from ..events import Item
from ..exceptions import InvalidEvent
from .values import (
    WIDE,
    checked_amount,
    checked_listed,
    checked_quantity,
    checked_text,
    kind_of,
    named_of,
)

_ITEM_KEYS: Final = tuple(field.name for field in fields(Item))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One checked entry of ``contents``."""

    id: str
    quantity: int | Decimal
    item_price: Decimal | None


def checked_contents(value: object) -> tuple[Line, ...]:
    return tuple(
        _line(f"contents[{index}]", item)
        for index, item in enumerate(checked_listed("contents", value))
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
        raise InvalidEvent(field, f"is {kind_of(value)}; pass an Item or a mapping")
    if unknown := sorted(map(named_of, item.keys() - set(_ITEM_KEYS)))[:3]:
        raise InvalidEvent(
            field,
            f"has unknown keys {', '.join(unknown)}; an item has "
            f"{', '.join(_ITEM_KEYS)}",
        )
    price = item.get("item_price")
    return Line(
        id=checked_text(f"{field}.id", item.get("id")),
        quantity=checked_quantity(f"{field}.quantity", item.get("quantity", 1)),
        item_price=None
        if price is None
        else checked_amount(f"{field}.item_price", price),
    )


def total_of(contents: tuple[Line, ...]) -> int | Decimal | None:
    """All quantities; exact whatever the thread's decimal context is."""
    total = Decimal(0)
    for line in contents:
        total = WIDE.add(total, line.quantity)
    if total == total.to_integral_value():
        return int(total) or None
    return total


def ids_of(contents: tuple[Line, ...], given: object) -> tuple[str, ...]:
    """The content ids that were given, or else those of the lines."""
    if given is None:
        return tuple(line.id for line in contents)
    return tuple(
        checked_text(f"content_ids[{index}]", value)
        for index, value in enumerate(checked_listed("content_ids", given))
    )
