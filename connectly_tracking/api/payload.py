"""The payload of a purchase and of a content view, every value checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Self

from ..events import Item
from ..exceptions import InvalidEvent
from .values import (
    EXACT,
    checked_amount,
    checked_currency,
    checked_list,
    checked_quantity,
    checked_text,
    described,
    unix_time,
)

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from ..events import Purchase, ViewContent

_ITEM_KEYS: Final = tuple(field.name for field in fields(Item))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentLine:
    """One checked line of ``contents``."""

    id: str
    quantity: int | Decimal
    item_price: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchasePayload:
    """A checked purchase (seed: payload). ``event_time``: Unix seconds, UTC."""

    order_id: str
    value: Decimal
    currency: str
    event_time: int
    content_type: str
    content_ids: tuple[str, ...]
    num_items: int | Decimal | None
    contents: tuple[ContentLine, ...]

    @classmethod
    def from_purchase(cls, purchase: Purchase, *, now: datetime, zone: tzinfo) -> Self:
        """Check a purchase. Raises InvalidEvent with the first wrong field.

        ``now`` is aware; a naive ``event_time`` is read in ``zone``.
        """
        contents = _checked_contents(purchase.contents)
        num_items = purchase.num_items
        return cls(
            order_id=checked_text("order_id", purchase.order_id),
            value=checked_amount("value", purchase.value),
            currency=checked_currency(purchase.currency),
            event_time=unix_time(purchase.event_time, now=now, zone=zone),
            content_type=checked_text("content_type", purchase.content_type),
            content_ids=_checked_ids(purchase.content_ids, contents),
            num_items=(
                _total_quantity(contents)
                if num_items is None
                else checked_quantity("num_items", num_items)
            ),
            contents=contents,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewPayload:
    """A checked content view. ``event_time``: Unix seconds, UTC.

    ``value`` is None and ``currency`` empty if the view has no price.
    """

    value: Decimal | None
    currency: str
    event_time: int
    content_type: str
    content_ids: tuple[str, ...]
    contents: tuple[ContentLine, ...]

    @classmethod
    def from_view(cls, view: ViewContent, *, now: datetime, zone: tzinfo) -> Self:
        """Check a view. Raises InvalidEvent with the first wrong field."""
        contents = _checked_contents(view.contents)
        content_ids = _checked_ids(view.content_ids, contents)
        if not content_ids:
            raise InvalidEvent("content_ids", "must not be empty")
        if (view.value is None) != (view.currency is None):
            raise InvalidEvent("value", "must be given together with currency")
        time = now if view.event_time is None else view.event_time
        return cls(
            event_time=unix_time(time, now=now, zone=zone),
            content_type=checked_text("content_type", view.content_type),
            content_ids=content_ids,
            contents=contents,
            value=None if view.value is None else checked_amount("value", view.value),
            currency="" if view.currency is None else checked_currency(view.currency),
        )

    @property
    def digest(self) -> str:
        """Equal for two views of the same content."""
        text = "\n".join((self.content_type, *self.content_ids))
        return hashlib.sha256(text.encode()).hexdigest()


def _checked_contents(value: object) -> tuple[ContentLine, ...]:
    return tuple(
        _checked_line(f"contents[{index}]", item)
        for index, item in enumerate(checked_list("contents", value))
    )


def _checked_line(field: str, value: object) -> ContentLine:
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
        raise InvalidEvent(
            field, f"must be an Item or a mapping, not {described(value)}"
        )
    if unknown := sorted(map(described, item.keys() - set(_ITEM_KEYS)))[:3]:
        raise InvalidEvent(
            field,
            f"has unknown keys: {', '.join(unknown)}; an item has "
            f"{', '.join(_ITEM_KEYS)}",
        )
    price = item.get("item_price")
    return ContentLine(
        id=checked_text(f"{field}.id", item.get("id")),
        quantity=checked_quantity(f"{field}.quantity", item.get("quantity", 1)),
        item_price=(
            None if price is None else checked_amount(f"{field}.item_price", price)
        ),
    )


def _checked_ids(value: object, contents: tuple[ContentLine, ...]) -> tuple[str, ...]:
    """Return the ids that the event names, or else those of its lines."""
    if value is None:
        return tuple(line.id for line in contents)
    return tuple(
        checked_text(f"content_ids[{index}]", content_id)
        for index, content_id in enumerate(checked_list("content_ids", value))
    )


def _total_quantity(contents: tuple[ContentLine, ...]) -> int | Decimal | None:
    total = Decimal(0)
    for line in contents:
        total = EXACT.add(total, line.quantity)
    if total == total.to_integral_value():
        return int(total) or None
    return total
