"""The address and the JSON of the documented request (seed: "Request body").

An event's payload knows no click, so that it can be kept until a click is found.
"""

from __future__ import annotations

import json
from decimal import Decimal
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Final, NamedTuple

from ..exceptions import InvalidEvent
from .payload import PurchasePayload

if TYPE_CHECKING:
    from .landing import Landing
    from .payload import ContentLine, ViewPayload

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
    if payload.contents:
        found["contents"] = [_item(line) for line in payload.contents]
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


def _item(line: ContentLine) -> dict[str, object]:
    item: dict[str, object] = {"id": line.id, "quantity": line.quantity}
    if line.item_price is not None:
        item["item_price"] = line.item_price
    return item
