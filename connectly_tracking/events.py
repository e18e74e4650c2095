"""The events that a shop reports.

Constructing an event evaluates nothing and never raises on a bad value, so that a
mistake cannot break a checkout. Recording it validates it, and names the wrong field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

MAX_ITEMS: Final = 10_000  # in contents and content_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of an order.

    ``id`` is the id in the catalogue, usually the SKU. ``quantity`` is greater than
    zero, and may be a fraction. ``item_price`` is the price of one unit in the order's
    currency; None leaves it out.
    """

    id: str
    quantity: int | Decimal = 1
    item_price: Decimal | int | float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """A paid order. One per order, not one per item.

    ``order_id``: 1 to 128 characters, the same whenever the order is reported; Meta
    uses it to remove duplicates.
    ``value``: the order's total in major units (``Decimal("99.97")``).
    ``currency``: three letters, ISO 4217.
    ``event_time``: when the order was placed, not when it is reported: a datetime (a
    naive one is read in the default time zone) or Unix seconds, UTC.
    ``contents``: `Item` objects or mappings with the same keys. A line that cannot be
    reported (no id, a discount, a quantity of 0) is left out and named in the
    conversion's ``detail``; the order is sent.
    ``content_ids``, ``num_items``: by default the ids of the lines that are sent and
    the sum of their quantities.
    """

    order_id: str | int | UUID
    value: Decimal | int | float
    currency: str
    event_time: datetime | int | float
    contents: Iterable[Item | Mapping[str, object]] = ()
    content_type: str = "product"
    content_ids: Iterable[str] | None = None
    num_items: int | Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewContent:
    """A visit to a product page.

    ``content_ids``: the ids in the catalogue; by default those of ``contents``.
    ``value``, ``currency``: both or neither.
    ``event_time``: None means now.
    """

    content_ids: Iterable[str] | None = None
    contents: Iterable[Item | Mapping[str, object]] = ()
    content_type: str = "product"
    value: Decimal | int | float | None = None
    currency: str | None = None
    event_time: datetime | int | float | None = None


def read_iterators(event: Purchase | ViewContent) -> None:
    """Replace an event's iterators by what they yield, or by what they raise.

    For whoever records it: an iterator can be read once, but an event may be recorded
    twice. At most ``MAX_ITEMS`` + 1 are read, since an iterator may never end.
    """
    for name in ("contents", "content_ids"):
        value: object = getattr(event, name)
        try:
            if not isinstance(value, Iterator):
                continue
            value = tuple(islice(value, MAX_ITEMS + 1))
        except Exception as exc:  # noqa: BLE001 - the check of this field reports it
            value = exc
        object.__setattr__(event, name, value)
