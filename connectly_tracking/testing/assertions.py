"""Asserts that an order was reported or not; a failure says why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.db import router
from django.utils import timezone

from ..api.values import id_text, safe_id
from ..models import WAITING, Conversion, DeliveryAttempt, EventName, Reason
from ..reports.explanation import explain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from ..models import Attribution, ConversionQuerySet
    from ..sandbox import Received, Sandbox

    OrderId = str | int | UUID

MAX_NAMED: Final = 10  # other orders in a message

_HINTS: Final = {
    "waiting": (
        "In a test nothing is sent by itself: deliver first. With later=True, events "
        "that are not due yet are sent, too."
    ),
    Reason.EXPIRED: (
        "Does the test freeze the time? An order's age is read from the database's "
        "clock: set MAX_EVENT_AGE to timedelta(days=36500)."
    ),
    Reason.NOT_ATTRIBUTED: (
        "Did this customer open the ad's link before, with the same client? Is the "
        "request passed to the signal, or the order bound to the click?"
    ),
}


def assert_reported(
    sandbox: Sandbox,
    order_id: OrderId,
    *,
    value: Decimal | str | float | None = None,
    click: Attribution | Mapping[str, str] | None = None,
    **payload: object,
) -> dict[str, Any]:
    """Assert that Connectly has counted the order, with the given fields.

    ``payload`` are further fields: ``currency``, ``event_time`` (also a datetime),
    ``content_ids``, ``num_items``, … Returns the document that was sent; numbers with a
    point are Decimal.
    """
    __tracebackhide__ = True
    _check(order_id)
    event = _event_of(sandbox, order_id)
    if event is None:
        raise AssertionError("\n".join(_why_not(order_id)))
    document: dict[str, Any] = json.loads(event.body, parse_float=Decimal)
    if value is not None:
        payload = {"value": Decimal(str(value)), **payload}
    differences = [
        *_differences(document["payload"], payload),
        *_differences(_click_in(document), _click_of(click)),
    ]
    if differences:
        head = f"Order {safe_id(order_id)} was reported, but not as expected:"
        sent = f"Sent: {event.body.decode()}"
        raise AssertionError("\n".join([head, *differences, sent]))
    return document


def assert_not_reported(
    sandbox: Sandbox, order_id: OrderId, *, reason: str | None = None
) -> None:
    """Assert that Connectly has not counted the order, and will not.

    ``reason`` is the expected code. Without it, an order that was never recorded
    passes, too.
    """
    __tracebackhide__ = True
    _check(order_id)
    if reason is not None and reason not in Reason.values:
        raise ValueError(
            f"unknown reason {reason!r}; known: {', '.join(Reason.values)}"
        )
    number, rows = safe_id(order_id), list(_rows_of(order_id))
    if event := _event_of(sandbox, order_id):
        raise AssertionError(
            f"Order {number} was reported.\nSent: {event.body.decode()}"
        )
    if any(row.state in WAITING for row in rows):
        raise AssertionError(
            f"Order {number} is waiting to be sent.\n{explain(number)}"
        )
    if reason is None or any(row.reason == reason for row in rows):
        return
    found = ", ".join(row.reason for row in rows) or "none, it was never recorded"
    raise AssertionError(
        f"Order {number} was not reported, but for another reason:\n"
        f"  reason: found {found}, expected {reason}\n{explain(number)}"
    )


def _check(order_id: object) -> None:
    """Refuse a mistake for which "was not reported" would always be true."""
    __tracebackhide__ = True
    if not id_text(order_id):
        raise TypeError(f"{order_id!r} is not an order id; pass the id of the Purchase")


def _event_of(sandbox: Sandbox, order_id: OrderId) -> Received | None:
    """The newest, if any; an event that is sent twice has the same bytes."""
    number = safe_id(order_id)
    found = [event for event in sandbox.events if event.order_id == number]
    return found[-1] if found else None


def _purchases() -> ConversionQuerySet:
    using = router.db_for_write(Conversion)
    return Conversion.objects.using(using).filter(event_name=EventName.PURCHASE)


def _rows_of(order_id: OrderId) -> ConversionQuerySet:
    return _purchases().of_order(safe_id(order_id))


def _why_not(order_id: OrderId) -> Iterator[str]:
    yield f"Order {safe_id(order_id)} was not reported."
    yield explain(order_id)
    rows = list(_rows_of(order_id))
    for row in rows:
        yield from _answer_to(row)
    if hint := next(filter(None, map(_hint_for, rows)), None):
        yield hint
    if not rows:
        yield _recorded_orders()


def _answer_to(row: Conversion) -> Iterator[str]:
    attempts = DeliveryAttempt.objects.using(row._state.db).filter(conversion=row)
    if last := attempts.order_by("started_at").last():
        code = f" {last.status_code}" if last.status_code else ""
        detail = f": {last.detail}" if last.detail else ""
        yield f"Last answer: {last.get_outcome_display()}{code}{detail}"


def _hint_for(row: Conversion) -> str | None:
    return _HINTS.get("waiting" if row.state in WAITING else row.reason)


def _recorded_orders() -> str:
    rows = list(_purchases().order_by("id")[: MAX_NAMED + 1])
    named = [f"{row.order_id or '-'} ({row.state})" for row in rows[:MAX_NAMED]]
    more = ["…"] if len(rows) > MAX_NAMED else []
    return f"Recorded orders: {', '.join(named + more) or 'none'}."


def _differences(sent: dict[str, Any], expected: dict[str, Any]) -> Iterator[str]:
    for name, wanted in expected.items():
        found = sent.get(name)
        if found != _plain(wanted):
            yield f"  {name}: sent {_shown(found)}, expected {_shown(_plain(wanted))}"


def _plain(value: object) -> object:
    """The value as it is after a way through JSON."""
    match value:
        case datetime():
            if timezone.is_naive(value):
                value = timezone.make_aware(value, timezone.get_default_timezone())
            return int(value.timestamp())
        case float():
            return Decimal(str(value))
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
    return value


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, default=str)


def _click_in(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "cnct_tracking_id": document["cnct_tracking_id"],
        "sendout_id": document["sendout_id"],
        **document["attribution"]["meta_ctwa"],
    }


def _click_of(click: Attribution | Mapping[str, str] | None) -> dict[str, str]:
    """The ids that are sent: those of a row, or of the parameters of a link."""
    if click is None:
        return {}
    names = ("cnct_tracking_id", "sendout_id", "ctwa_clid", "ad_id")
    values = click if isinstance(click, Mapping) else vars(click)
    return {name: values[name] for name in names if name in values}
