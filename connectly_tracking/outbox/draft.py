"""An order as a row: what it would be if it were the order's first. Writes nothing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from ..api.body import body_json, payload_json
from ..api.payload import PurchasePayload
from ..api.values import id_text, safe_id
from ..attribution import Clue, business_of, known_business, resolve
from ..conf import conf
from ..events import Purchase
from ..exceptions import InvalidEvent
from ..models import (
    Conversion,
    EventName,
    Reason,
    State,
    key_of,
    moment,
    oldest_sent,
)

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest

    from ..models import Attribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an order's click and business are looked for, in this order.

    ``order`` is what a resolver of businesses gets: the shop's own order where there
    is one, else the event. ``quiet``: one of many orders of long ago, so nobody is
    woken for it, and what is too old to be sent never waits for that to be found out.
    """

    attribution: Attribution | UUID | str | None = None
    token: str | None = None
    request: HttpRequest | None = None
    user: Any = None
    business: str | None = None
    order: Any = None
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A row as it would be if it were the order's first.

    ``click``: one that has no row yet, which goes with the order's.
    """

    row: Conversion
    click: Attribution | None = None


def draft_of(event: Purchase, source: Source, fault: InvalidEvent | None) -> Draft:
    """The row, or the refusal as a row. Under STRICT it raises InvalidEvent."""
    try:
        if fault:
            raise fault
        return _checked(event, source)
    except InvalidEvent as exc:
        if conf.STRICT:
            raise
        return Draft(row=_refused(event, source, exc))


def _checked(event: Purchase, source: Source) -> Draft:
    if not isinstance(event, Purchase):
        raise InvalidEvent("purchase", f"is a {type(event).__name__}; pass a Purchase")
    payload = PurchasePayload.from_purchase(
        event, now=datetime.now(UTC), zone=timezone.get_current_timezone()
    )
    event_time = moment(payload.event_time)
    found = resolve(
        Clue(
            order_id=payload.order_id,
            event_time=event_time,
            attribution=source.attribution,
            token=source.token,
            request=source.request,
            user=source.user,
            business=source.business,
        )
    )
    click = found.click
    fresh = click if click is not None and click._state.adding else None
    row = Conversion(
        event_name=EventName.PURCHASE,
        business=_business(source, click),
        key=key_of(payload.order_id),
        order_id=payload.order_id,
        event_time=event_time,
        recorded_at=timezone.now(),
    )
    row.attribution_id = found.click_id
    if click is not None:
        row.credit(click)
    if click is None or found.reason is not None:
        # Small, since it is nobody's business what a customer bought without a click;
        # but for two days the click may still come.
        row.state, row.reason = State.SKIPPED, found.reason or Reason.NOT_ATTRIBUTED
        if row.is_mendable:
            row.payload = payload_json(payload)
        return Draft(row=row, click=fresh)
    row.body = body_json("Purchase", payload_json(payload), click.landing)
    row.value, row.currency = payload.value, payload.currency
    row.schedule()
    if source.quiet and row.state == State.PENDING and event_time < oldest_sent():
        row.expire()
    return Draft(row=row, click=fresh)


def _refused(event: object, source: Source, fault: InvalidEvent) -> Conversion:
    given = getattr(event, "order_id", None)
    order_id = safe_id(given)
    return Conversion(
        event_name=EventName.PURCHASE,
        business=_known(source.business) or business_of(source.request, source.order),
        # An order without an id is like no other.
        key=key_of((id_text(given) if order_id else None) or uuid.uuid4().hex),
        order_id=order_id,
        recorded_at=timezone.now(),
        state=State.SKIPPED,
        reason=Reason.INVALID,
        detail=str(fault),
    )


def _business(source: Source, click: Attribution | None) -> str:
    alias = source.business
    if alias is None and click is not None:
        alias = click.business
    if alias is None:
        alias = business_of(source.request, source.order)
    return known_business(alias)


def _known(alias: object) -> str:
    return alias if isinstance(alias, str) and alias in conf.BUSINESSES else ""
