"""A purchase after inspection: every value checked, nothing left to doubt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .contents import Line, checked_contents, ids_of, total_of
from .values import (
    checked_amount,
    checked_currency,
    checked_quantity,
    checked_text,
    order_id,
    unix_time,
)

if TYPE_CHECKING:
    from datetime import datetime, tzinfo
    from decimal import Decimal

    from ..events import Purchase


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
        contents = checked_contents(purchase.contents)
        num_items = purchase.num_items
        return cls(
            order_id=order_id(purchase.order_id),
            value=checked_amount("value", purchase.value),
            currency=checked_currency(purchase.currency),
            event_time=unix_time(purchase.event_time, now=now, zone=zone),
            content_type=checked_text("content_type", purchase.content_type),
            content_ids=ids_of(contents, purchase.content_ids),
            num_items=(
                total_of(contents)
                if num_items is None
                else checked_quantity("num_items", num_items)
            ),
            contents=contents,
        )
