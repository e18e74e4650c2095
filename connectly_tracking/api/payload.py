"""The payload of an event, every value checked, and the request that carries it.

Only what the API requires can refuse an event. What else is wrong is left out or
replaced, and noted. An event's payload knows no click, so that it can be kept until a
click is found; then both make the documented request.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Final, NamedTuple, Self

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
    from .landing import Landing

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
    """A checked purchase. ``event_time``: Unix seconds, UTC.

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
        notes: list[str] = []
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
            notes=_first_of(notes),
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
        notes: list[str] = []
        read_iterators(view)
        contents = _contents(view.contents, notes)
        content_ids = _content_ids(view.content_ids, contents, notes)
        if not content_ids:
            why = " ".join(["must not be empty.", *_first_of(notes)]).rstrip(".")
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
            notes=_first_of(notes),
        )

    @property
    def digest(self) -> str:
        """Equal for two views of the same content."""
        text = "\n".join((self.content_type, *self.content_ids))
        return hashlib.sha256(text.encode()).hexdigest()


def _left_out(place: str, problem: InvalidEvent, name: str = "") -> str:
    subject = problem.field.removeprefix(place).lstrip(".") or "it"
    return f"{place}{name} was left out: {subject} {problem.problem}."


def _first_of(notes: list[str]) -> tuple[str, ...]:
    """The first sentences, and how many more there are."""
    more = len(notes) - MAX_NOTES
    return (*notes[:MAX_NOTES], *([f"And {more} more."] if more > 0 else []))


def _contents(value: object, notes: list[str]) -> tuple[ContentLine, ...]:
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
            notes.append(_left_out(place, exc, _quoted_id(item)))
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
    value: object, contents: tuple[ContentLine, ...], notes: list[str]
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
            notes.append(_left_out(place, exc))
    return tuple(ids)


def _content_type(value: object, notes: list[str]) -> str:
    try:
        with reading("content_type"):
            return checked_text("content_type", value)
    except InvalidEvent as exc:
        notes.append(
            f"content_type was replaced by 'product': the value passed {exc.problem}."
        )
        return "product"


def _num_items(
    value: object, contents: tuple[ContentLine, ...], notes: list[str]
) -> int | Decimal | None:
    """Return the number that the event names, or else the sum of the quantities."""
    try:
        with reading("num_items"):
            if value is not None:
                return checked_quantity("num_items", value)
    except InvalidEvent as exc:
        notes.append(
            "num_items was replaced by the sum of the quantities: the value passed "
            f"{exc.problem}."
        )
    total = Decimal(0)
    for line in contents:
        total = EXACT.add(total, line.quantity)
    if total == total.to_integral_value():
        return int(total) or None
    return total


def _entries(field: str, value: object, notes: list[str]) -> tuple[object, ...] | None:
    try:
        with reading(field):
            return checked_list(field, value)
    except InvalidEvent as exc:
        notes.append(_left_out(field, exc))
        return None


MAX_REQUEST: Final = 32 * 1024  # bytes

_OTHERS: Final = json.JSONEncoder(allow_nan=False)


def events_url(base_url: str, business_id: str) -> str:
    """Return the address to which a business's events are posted."""
    return f"{base_url}/external/v1/businesses/{business_id}/conversion_events"


class Fitted(NamedTuple):
    """JSON text of at most 32 KiB, and sentences about what was left out of it."""

    text: str
    notes: tuple[str, ...]


def payload_json(payload: PurchasePayload | ViewPayload) -> str:
    """As `fitted_payload`, without the notes."""
    return fitted_payload(payload).text


def fitted_payload(payload: PurchasePayload | ViewPayload) -> Fitted:
    """Return an event's own part, without the click, and all notes about it.

    Leaves out the contents, then the content ids, if it is longer than 32 KiB.
    """
    found: dict[str, object] = {}
    if payload.value is not None:
        found |= {"currency": payload.currency, "value": payload.value}
    if isinstance(payload, PurchasePayload):
        found["order_id"] = payload.order_id
    found["content_type"] = payload.content_type
    if payload.content_ids:
        found["content_ids"] = payload.content_ids
    if isinstance(payload, PurchasePayload) and payload.num_items is not None:
        found["num_items"] = payload.num_items
    lines: list[dict[str, object]] = []
    for line in payload.contents:
        lines.append({"id": line.id, "quantity": line.quantity})
        if line.item_price is not None:
            lines[-1]["item_price"] = line.item_price
    if lines:
        found["contents"] = lines
    text = encode({**found, "event_time": payload.event_time})
    fitted = _fitted("", text, "")
    return Fitted(fitted.text, (*payload.notes, *fitted.notes))


def body_json(event_name: str, payload: str, landing: Landing) -> str:
    """As `fitted_body`, without the notes."""
    return fitted_body(event_name, payload, landing).text


def fitted_body(event_name: str, payload: str, landing: Landing) -> Fitted:
    """Return a request: the same input gives the same bytes (ASCII).

    ``payload`` is the text of `fitted_payload`. Leaves out its contents, then its
    content ids, if the request would be longer than 32 KiB; a content view must have
    its ids, so it raises InvalidEvent then. The notes are about this alone.
    """
    click = {"ctwa_clid": landing.ctwa_clid, "ad_id": landing.ad_id}
    head = encode(
        {
            "cnct_tracking_id": landing.cnct_tracking_id,
            "event_name": event_name,
            "sendout_id": landing.sendout_id,
            "attribution": {"meta_ctwa": click},
        }
    )
    return _fitted(f'{head[:-1]}, "payload": ', payload, "}")


def _fitted(head: str, payload: str, tail: str) -> Fitted:
    text = f"{head}{payload}{tail}"
    size = len(text)
    if size <= MAX_REQUEST:
        return Fitted(text, ())
    found = json.loads(payload, parse_float=Decimal)
    can_lose = ["contents", "content_ids"] if "order_id" in found else ["contents"]
    lost = []
    for key in can_lose:
        if found.pop(key, None) is None:
            continue
        lost.append(key)
        text = f"{head}{encode(found)}{tail}"
        if len(text) <= MAX_REQUEST:
            names = " and ".join(lost)
            verb = "was" if lost == ["contents"] else "were"
            return Fitted(
                text,
                (
                    f"{names} {verb} left out: the request would be longer than "
                    f"{MAX_REQUEST} bytes.",
                ),
            )
    raise InvalidEvent(
        "content_ids",
        f"makes a request of {size} bytes, and at most {MAX_REQUEST} are allowed; "
        "pass fewer",
    )


def encode(value: object) -> str:
    """Return JSON with exact numbers: a Decimal as its own digits, never as a float."""
    match value:
        case str():
            return encode_basestring_ascii(value)
        case dict():
            pairs = [f"{encode(key)}: {encode(item)}" for key, item in value.items()]
            return f"{{{', '.join(pairs)}}}"
        case list() | tuple():
            return f"[{', '.join(map(encode, value))}]"
        case Decimal():
            if not value.is_finite():
                raise ValueError(f"JSON has no {value}")
            return format(value, "f")
        case _:
            return _OTHERS.encode(value)
