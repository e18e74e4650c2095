"""The documented request, once (seed: "Request body")."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ..exceptions import InvalidEvent

if TYPE_CHECKING:
    from .contents import Line
    from .landing import Landing
    from .purchase import Payload
    from .view import View

MAX_BODY: Final = 32 * 1024  # bytes


def url_of(base_url: str, business_id: str) -> str:
    """Where a business's events are posted to."""
    return f"{base_url}/external/v1/businesses/{business_id}/conversion_events"


def purchase_body(payload: Payload, landing: Landing) -> str:
    """The JSON text of one Purchase; the same input gives the same bytes (ASCII).

    Raises InvalidEvent above 32 KiB.
    """
    return body_of("Purchase", purchase_payload(payload), landing)


def purchase_payload(payload: Payload) -> str:
    """The JSON text of a purchase's own part, which knows no click."""
    details: dict[str, object] = {
        "currency": payload.currency,
        "value": payload.value,
        "order_id": payload.order_id,
        "content_type": payload.content_type,
    }
    if payload.content_ids:
        details["content_ids"] = payload.content_ids
    if payload.num_items is not None:
        details["num_items"] = payload.num_items
    if payload.contents:
        details["contents"] = [_item(line) for line in payload.contents]
    details["event_time"] = payload.event_time
    return encode(details)


def view_payload(view: View) -> str:
    """The JSON text of a content view's own part, which knows no click."""
    details: dict[str, object] = {}
    if view.value is not None:
        details |= {"currency": view.currency, "value": view.value}
    details |= {"content_type": view.content_type, "content_ids": view.content_ids}
    if view.contents:
        details["contents"] = [_item(line) for line in view.contents]
    details["event_time"] = view.event_time
    return encode(details)


def body_of(event_name: str, payload: str, landing: Landing) -> str:
    """The whole request: an event's own part, and the click's.

    Raises InvalidEvent above 32 KiB.
    """
    clicked = {"ctwa_clid": landing.ctwa_clid, "ad_id": landing.ad_id}
    head = encode(
        {
            "cnct_tracking_id": landing.cnct_tracking_id,
            "event_name": event_name,
            "sendout_id": landing.sendout_id,
            "attribution": {"meta_ctwa": clicked},
        }
    )
    text = f'{head[:-1]}, "payload": {payload}}}'
    if len(text) > MAX_BODY:
        raise InvalidEvent(
            "contents",
            f"makes a request of {len(text)} bytes; at most {MAX_BODY} are sent. "
            "Pass fewer items, or none",
        )
    return text


def encode(value: object) -> str:
    """JSON whose numbers are exact: a Decimal as its own digits, never as a float."""
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


def _item(line: Line) -> dict[str, object]:
    item: dict[str, object] = {"id": line.id, "quantity": line.quantity}
    if line.item_price is not None:
        item["item_price"] = line.item_price
    return item
