"""What a shop reports, in the field's own words (seed: "Request body").

Constructing never raises on a bad value, so that a mistake here cannot break a
checkout; recording validates and says which field is wrong.
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

MAX_ITEMS: Final = 10_000  # read of a generator that may never end


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of an order (seed: payload.contents).

    ``id`` is the catalogue's own id, usually the SKU. ``quantity`` is more than zero,
    in pieces or in fractions of a unit. ``item_price`` is the price of one unit in the
    order's currency; None leaves it out.
    """

    id: str
    quantity: int | Decimal = 1
    item_price: Decimal | int | float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """A paid order (seed: payload). One per order, whatever the number of items.

    ``order_id``: stable per order, 1 to 128 characters; Meta's key against duplicates.
    ``value``: the order's total in major units (``Decimal("99.97")``).
    ``currency``: ISO 4217, three letters.
    ``event_time``: when the order was placed, never when it is reported: a datetime (a
    naive one is read in the current time zone) or Unix seconds, UTC.
    ``contents``: `Item` objects or mappings with the same keys.
    ``content_ids``, ``num_items``: the items' ids and the sum of their quantities,
    unless given.
    """

    order_id: str | int | UUID
    value: Decimal | int | float
    currency: str
    event_time: datetime | int | float
    contents: Iterable[Item | Mapping[str, object]] = ()
    content_type: str = "product"
    content_ids: Iterable[str] | None = None
    num_items: int | Decimal | None = None

    def __post_init__(self) -> None:
        # A generator can be read once, but the same order may be recorded twice.
        for name in ("contents", "content_ids"):
            if isinstance(value := getattr(self, name), Iterator):
                object.__setattr__(self, name, _read(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewContent:
    """Somebody looked at a product page (seed: event_name "ViewContent").

    ``content_ids`` are the catalogue's ids; where they are left out they are those of
    ``contents``. ``value`` and ``currency`` go together, or are both left out.
    ``event_time``: None is now.
    """

    content_ids: Iterable[str] | None = None
    contents: Iterable[Item | Mapping[str, object]] = ()
    content_type: str = "product"
    value: Decimal | int | float | None = None
    currency: str | None = None
    event_time: datetime | int | float | None = None

    def __post_init__(self) -> None:
        for name in ("contents", "content_ids"):
            if isinstance(value := getattr(self, name), Iterator):
                object.__setattr__(self, name, _read(value))


def _read(items: Iterator[object]) -> object:
    try:
        return tuple(islice(items, MAX_ITEMS + 1))
    except Exception as exc:  # noqa: BLE001 - the shop's code; recording reports it
        return exc
