"""The payload of a purchase and of a content view, every value checked.

Only what the API requires can refuse an event. What else is wrong is left out or
replaced, and noted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Self

from ..events import Item, read_iterators
from ..exceptions import InvalidEvent
from .values import (
    EXACT,
    checked_amount,
    checked_currency,
    checked_list,
    checked_price,
    checked_quantity,
    checked_text,
    described,
    id_text,
    is_plain,
    is_unread_query,
    read_order_id,
    reading,
    unix_time,
)

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from ..events import Purchase, ViewContent

MAX_NOTES: Final = 5  # sentences; of the others only their number is noted

_ITEM_KEYS: Final = tuple(field.name for field in fields(Item))
_EXAMPLE: Final = "Item(id=line.sku, item_price=line.price, …)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentLine:
    """One checked line of ``contents``."""

    id: str
    quantity: int | Decimal
    item_price: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchasePayload:
    """A checked purchase (seed: payload). ``event_time``: Unix seconds, UTC.

    ``num_items`` and ``content_ids`` are of the lines that are left in ``contents``,
    unless the shop gave its own. ``notes``: sentences about what was left out or
    replaced, and why; at most six.
    """

    order_id: str
    value: Decimal
    currency: str
    event_time: int
    content_type: str
    content_ids: tuple[str, ...]
    num_items: int | Decimal | None
    contents: tuple[ContentLine, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_purchase(cls, purchase: Purchase, *, now: datetime, zone: tzinfo) -> Self:
        """Check a purchase. Raises InvalidEvent with the first wrong required field.

        Model instances in ``contents`` are refused as well, since each of their ids
        would be wrong. ``now`` is aware; a naive ``event_time`` is read in ``zone``.
        """
        with reading("order_id"):
            read_order_id(purchase)
            order_id = checked_text("order_id", purchase.order_id)
        with reading("value"):
            value = checked_amount("value", purchase.value)
        with reading("currency"):
            currency = checked_currency(purchase.currency)
        with reading("event_time"):
            event_time = unix_time(purchase.event_time, now=now, zone=zone)
        notes = _Notes()
        read_iterators(purchase)
        contents = _contents(purchase.contents, notes)
        return cls(
            order_id=order_id,
            value=value,
            currency=currency,
            event_time=event_time,
            content_type=_content_type(purchase.content_type, notes),
            content_ids=_content_ids(purchase.content_ids, contents, notes),
            num_items=_num_items(purchase.num_items, contents, notes),
            contents=contents,
            notes=notes.sentences,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewPayload:
    """A checked content view. ``event_time``: Unix seconds, UTC.

    ``value`` is None and ``currency`` empty if the view has no price. ``notes``: as of
    a purchase.
    """

    value: Decimal | None
    currency: str
    event_time: int
    content_type: str
    content_ids: tuple[str, ...]
    contents: tuple[ContentLine, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_view(cls, view: ViewContent, *, now: datetime, zone: tzinfo) -> Self:
        """Check a view. Raises InvalidEvent with the first wrong field.

        A view must have at least one content id.
        """
        notes = _Notes()
        read_iterators(view)
        contents = _contents(view.contents, notes)
        content_ids = _content_ids(view.content_ids, contents, notes)
        if not content_ids:
            why = " ".join(["must not be empty.", *notes.sentences]).rstrip(".")
            raise InvalidEvent("content_ids", why)
        if (view.value is None) != (view.currency is None):
            raise InvalidEvent("value", "must be given together with currency")
        time = now if view.event_time is None else view.event_time
        with reading("event_time"):
            event_time = unix_time(time, now=now, zone=zone)
        with reading("value"):
            value = None if view.value is None else checked_amount("value", view.value)
        with reading("currency"):
            currency = "" if view.currency is None else checked_currency(view.currency)
        return cls(
            event_time=event_time,
            content_type=_content_type(view.content_type, notes),
            content_ids=content_ids,
            contents=contents,
            value=value,
            currency=currency,
            notes=notes.sentences,
        )

    @property
    def digest(self) -> str:
        """Equal for two views of the same content."""
        text = "\n".join((self.content_type, *self.content_ids))
        return hashlib.sha256(text.encode()).hexdigest()


class _Notes:
    """Sentences about what an event is sent without."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._more = 0

    def add(self, sentence: str) -> None:
        if len(self._first) < MAX_NOTES:
            self._first.append(sentence)
        else:
            self._more += 1

    def left_out(self, place: str, problem: InvalidEvent, name: str = "") -> None:
        subject = problem.field.removeprefix(place).lstrip(".") or "it"
        self.add(f"{place}{name} was left out: {subject} {problem.problem}.")

    @property
    def sentences(self) -> tuple[str, ...]:
        more = [f"And {self._more} more."] if self._more else []
        return (*self._first, *more)


def _contents(value: object, notes: _Notes) -> tuple[ContentLine, ...]:
    """Return the lines that can be sent. Raises InvalidEvent for model instances."""
    with reading("contents"):
        is_query = is_unread_query(value)
    if is_query:
        raise InvalidEvent(
            "contents",
            "is a QuerySet of model instances, and the id of each is its primary key; "
            f"pass [{_EXAMPLE} for line in …]",
        )
    lines = []
    for index, item in enumerate(_entries("contents", value, notes) or ()):
        place = f"contents[{index}]"
        try:
            with reading(place):
                if is_model := hasattr(item, "_meta"):
                    name = item.__class__.__name__
                else:
                    lines.append(_line(place, item))
        except InvalidEvent as exc:
            notes.left_out(place, exc, _quoted_id(item))
            continue
        if is_model:
            raise InvalidEvent(
                place,
                f"is a model instance ({name}) and its id is its primary key; "
                f"pass {_EXAMPLE}",
            )
    return tuple(lines)


def _line(field: str, value: object) -> ContentLine:
    if isinstance(value, Item):
        item = {key: getattr(value, key) for key in _ITEM_KEYS}
    elif isinstance(value, Mapping):
        item = dict(value)
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
            None if price is None else checked_price(f"{field}.item_price", price)
        ),
    )


def _quoted_id(item: object) -> str:
    """Return what tells a person which line it is; nothing if it has no id."""
    given = item.id if type(item) is Item else None
    if type(item) is dict:
        given = item.get("id")
    return f" (id {described(id_text(given))})" if is_plain(given) and given else ""


def _content_ids(
    value: object, contents: tuple[ContentLine, ...], notes: _Notes
) -> tuple[str, ...]:
    """Return the ids that the event names, or else those of its lines."""
    entries = None if value is None else _entries("content_ids", value, notes)
    if entries is None:
        return tuple(line.id for line in contents)
    ids = []
    for index, content_id in enumerate(entries):
        place = f"content_ids[{index}]"
        try:
            with reading(place):
                ids.append(checked_text(place, content_id))
        except InvalidEvent as exc:
            notes.left_out(place, exc)
    return tuple(ids)


def _content_type(value: object, notes: _Notes) -> str:
    try:
        with reading("content_type"):
            return checked_text("content_type", value)
    except InvalidEvent as exc:
        notes.add(
            f"content_type was replaced by 'product': the value passed {exc.problem}."
        )
        return "product"


def _num_items(
    value: object, contents: tuple[ContentLine, ...], notes: _Notes
) -> int | Decimal | None:
    """Return the number that the event names, or else the sum of the quantities."""
    try:
        with reading("num_items"):
            if value is not None:
                return checked_quantity("num_items", value)
    except InvalidEvent as exc:
        notes.add(
            "num_items was replaced by the sum of the quantities: the value passed "
            f"{exc.problem}."
        )
    return _total_quantity(contents)


def _entries(field: str, value: object, notes: _Notes) -> tuple[object, ...] | None:
    try:
        with reading(field):
            return checked_list(field, value)
    except InvalidEvent as exc:
        notes.left_out(field, exc)
        return None


def _total_quantity(contents: tuple[ContentLine, ...]) -> int | Decimal | None:
    total = Decimal(0)
    for line in contents:
        total = EXACT.add(total, line.quantity)
    if total == total.to_integral_value():
        return int(total) or None
    return total
