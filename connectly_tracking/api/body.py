"""The address and the JSON of the documented request (seed: "Request body").

An event's payload knows no click, so that it can be kept until a click is found.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ..exceptions import InvalidEvent
from .payload import PurchasePayload

if TYPE_CHECKING:
    from .landing import Landing
    from .payload import ContentLine, ViewPayload

MAX_REQUEST: Final = 32 * 1024  # bytes


def events_url(base_url: str, business_id: str) -> str:
    """Return the address to which a business's events are posted."""
    return f"{base_url}/external/v1/businesses/{business_id}/conversion_events"


def payload_json(payload: PurchasePayload | ViewPayload) -> str:
    """Return the JSON text of an event's own part, without the click."""
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
    return encode({**found, "event_time": payload.event_time})


def body_json(event_name: str, payload: str, landing: Landing) -> str:
    """Return the JSON text of a request: the same input gives the same bytes (ASCII).

    ``payload`` is the text that `payload_json` made. Raises InvalidEvent above 32 KiB.
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
    text = f'{head[:-1]}, "payload": {payload}}}'
    if len(text) > MAX_REQUEST:
        raise InvalidEvent(
            "contents",
            f"makes a request of {len(text)} bytes, and at most {MAX_REQUEST} are "
            "allowed; pass fewer items, or none",
        )
    return text


def encode(value: object) -> str:
    """Return JSON with exact numbers: a Decimal as its own digits, never as a float."""
    match value:
        case dict():
            pairs = (
                f"{json.dumps(key)}: {encode(item)}" for key, item in value.items()
            )
            return f"{{{', '.join(pairs)}}}"
        case list() | tuple():
            return f"[{', '.join(map(encode, value))}]"
        case Decimal():
            if not value.is_finite():
                raise ValueError(f"JSON has no {value}")
            return format(value, "f")
        case _:
            return json.dumps(value, allow_nan=False)


def _item(line: ContentLine) -> dict[str, object]:
    item: dict[str, object] = {"id": line.id, "quantity": line.quantity}
    if line.item_price is not None:
        item["item_price"] = line.item_price
    return item
