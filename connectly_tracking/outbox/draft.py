"""An order as a row, as if it were the order's first. Writes nothing."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from django.utils import timezone
from django.utils.functional import LazyObject

from ..api.payload import PurchasePayload, fitted_body, fitted_payload
from ..api.values import described, id_text, plain_id
from ..attribution.clicks import known_business, resolve_business
from ..attribution.resolution import customer_id_of, resolve
from ..conf import conf
from ..events import Purchase
from ..exceptions import InvalidEvent
from ..models import Conversion, EventName, Reason, State, key_of, moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..attribution import ClickSource
    from ..models import Attribution


@dataclass(eq=False, repr=False)
class PaidOrder:
    """An order to record: a Purchase, or the shop's own object, adapted once."""

    order: Any = None
    purchase: Any = None

    def make(self) -> Any:
        """Return the Purchase. May run ORDER_ADAPTER: call this in a savepoint."""
        if self.purchase is None and self.order is not None:
            adapter = conf.ORDER_ADAPTER
            if adapter is None:
                raise ImproperlyConfigured(
                    "CONNECTLY_TRACKING['ORDER_ADAPTER'] is missing. Set it to a "
                    "function that returns a Purchase for an order, or pass a Purchase."
                )
            self.purchase = adapter(self.order)
        return self.purchase

    def log_name(self) -> str:
        """Return the order's id, or else its primary key. Evaluates nothing."""
        purchase, order = _unwrapped(self.purchase), _unwrapped(self.order)
        order_id, pk = "", None
        if type(purchase) is Purchase:
            order_id = plain_id(purchase.order_id)
        if issubclass(type(order), Model):
            pk = order.__dict__.get(type(order)._meta.pk.attname)
        return order_id or f"pk:{plain_id(pk) or 'none'}"


def _unwrapped(value: Any) -> Any:
    """Return what a lazy object has found already."""
    if issubclass(type(value), LazyObject):
        return value.__dict__.get("_wrapped")
    return value


class Draft(NamedTuple):
    """A row that is not written yet. ``click``: to be written with it, if not None.

    ``payload`` is None if the order is invalid.
    """

    row: Conversion
    click: Attribution | None = None
    payload: PurchasePayload | None = None


def draft_of(event: object, source: ClickSource, problem: InvalidEvent | None) -> Draft:
    """Return the order's row, or a row that says why the order is invalid.

    ``problem`` is one that is known already. Under STRICT a problem is raised.
    """
    resolver = cache(partial(resolve_business, source.request, source.order))
    try:
        if problem is not None:
            raise problem
        return _valid_draft(event, source, resolver)
    except InvalidEvent as exc:
        if conf.STRICT:
            raise
        return Draft(_invalid_row(event, source, resolver, exc))


def _valid_draft(
    event: object, source: ClickSource, resolver: Callable[[], str]
) -> Draft:
    if not isinstance(event, Purchase):
        raise InvalidEvent("purchase", f"must be a Purchase, not {described(event)}")
    payload = PurchasePayload.from_purchase(
        event, now=datetime.now(UTC), zone=timezone.get_default_timezone()
    )
    event_time = moment(payload.event_time)
    found = resolve(source, order_id=payload.order_id, event_time=event_time)
    click, business = found.click, source.business
    if business is None and click is not None:
        business = click.business
    elif business is None:
        business = found.business or resolver()
    row = Conversion(
        event_name=EventName.PURCHASE,
        business=known_business(business),
        key=key_of(payload.order_id),
        order_id=payload.order_id,
        event_time=event_time,
        payload="",
        recorded_at=timezone.now(),
        attribution_id=found.click_id,
    )
    payload_text, notes = fitted_payload(payload)
    if click is not None:
        row.credit(click)
        # Whatever the reason, so that what was not reported can be added up.
        row.value, row.currency = payload.value, payload.currency
    if click is None or found.reason is not None:
        # Without a click, what a customer bought is not kept: except for a few days,
        # in which the click may still come.
        row.state, row.reason = State.SKIPPED, found.reason or Reason.NOT_ATTRIBUTED
        if row.is_replaceable:
            row.payload = payload_text
            row.user_id = row.user_id or customer_id_of(source)
    else:
        row.user_id = customer_id_of(source) or row.user_id
        row.body, about_size = fitted_body("Purchase", payload_text, click.landing)
        notes += about_size
        row.schedule()
    row.detail = " ".join(notes)
    has_no_row = click is not None and click._state.adding
    return Draft(row, click if has_no_row else None, payload)


def _invalid_row(
    event: object,
    source: ClickSource,
    resolver: Callable[[], str],
    problem: InvalidEvent,
) -> Conversion:
    given = None
    with suppress(Exception):  # it may be any object of the shop's
        given = event.order_id  # type: ignore[attr-defined]
    order_id = plain_id(given)
    business = None
    if problem.field != "business":  # else it has been looked at
        with suppress(InvalidEvent):
            business = known_business(source.business)
    return Conversion(
        event_name=EventName.PURCHASE,
        business=business or resolver(),
        # An order without an id is unlike any other.
        key=key_of((id_text(given) if order_id else None) or uuid.uuid4().hex),
        order_id=order_id,
        payload="",
        recorded_at=timezone.now(),
        state=State.SKIPPED,
        reason=Reason.INVALID,
        detail=str(problem),
    )
