"""Findings on the rows: overdue events, paused businesses and the last answers.

Beat has no heartbeat. If it does not run, events become overdue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, Min

from ..api.verdicts import Outcome
from ..conf import conf
from ..models import (
    OVERDUE,
    Circuit,
    Conversion,
    DbNow,
    DeliveryAttempt,
    State,
    local_time,
)
from .findings import Subject, found, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from .findings import Finding

DAY: Final = 86_400.0  # seconds
NEWEST: Final = 100  # rows in which the last answer is looked for


def examine_delivery(
    using: str, *, aliases: Sequence[str], ready: Sequence[str], only: str | None
) -> Iterator[Finding]:
    overdue = _overdue(using, only)
    for circuit in Circuit.objects.using(using).exclude(paused_until=None):
        if only in (None, circuit.pk):
            yield _pause(circuit, overdue.get(circuit.pk))
    if conf.SEND and overdue:
        yield from _may_be_copied(using)
    probed = _probed(using)
    for alias, events in overdue.items():
        if aliases and alias not in aliases:
            text = f"{alias}: {events}. The settings lack this business."
            yield found(Subject.DELIVERY, "business_forgotten", text)
        elif conf.SEND and alias in ready and alias not in probed:
            yield _late(using, alias, events)
    if conf.SEND and not overdue:
        yield _nothing_overdue(using, only)
    for alias in aliases:
        yield _last_answer(using, alias)


def _overdue(using: str, only: str | None) -> dict[str, str]:
    """Describe, by business, the events that have been due for too long."""
    rows = Conversion.objects.using(using).filter(due_at__lte=DbNow(-OVERDUE))
    grouped: Any = rows.order_by().values_list("business")
    return {
        alias: f"{count} overdue, the oldest since {_minute(oldest)}"
        for alias, count, oldest in grouped.annotate(Count("pk"), Min("due_at"))
        if only in (None, alias)
    }


def _may_be_copied(using: str) -> Iterator[Finding]:
    """Orders wait, and no new ones are recorded, as in a copy or a restored backup."""
    # The doctor's own row has no order id.
    orders = Conversion.objects.using(using).exclude(order_id="")
    if not orders.filter(recorded_at__gte=DbNow(-DAY)).exists():
        newest = orders.order_by("-recorded_at").first()
        since = f" since {_minute(newest.recorded_at)}" if newest else ""
        text = f"Orders are waiting, but none has been recorded{since}."
        yield found(Subject.DELIVERY, "database_may_be_copied", text)


def _pause(circuit: Circuit, overdue: str | None) -> Finding:
    until = _minute(circuit.paused_until) if circuit.paused_until else "-"
    events = f" ({overdue})" if overdue else ""
    message = one_line(circuit.detail)
    text = f"{circuit.pk} is paused{events}, next try {until}: {message}"
    return found(Subject.DELIVERY, f"paused_{circuit.reason}", text)


def _probed(using: str) -> set[str]:
    """Return the paused businesses, without those whose probe is overdue, too."""
    rows = Circuit.objects.using(using).filter(paused_until__gt=DbNow(-OVERDUE))
    return set(rows.values_list("pk", flat=True))


def _late(using: str, alias: str, overdue: str) -> Finding:
    recent = _attempts(using, alias).filter(started_at__gte=DbNow(-OVERDUE))
    if recent.exists():
        text = f"{alias}: {overdue}. A worker is sending them."
        return found(Subject.DELIVERY, "behind", text)
    text = f"{alias}: {overdue}, and no worker is sending them."
    return found(Subject.DELIVERY, "nobody_looks", text)


def _nothing_overdue(using: str, only: str | None) -> Finding:
    rows = Conversion.objects.using(using).filter(due_at__isnull=False)
    count = (rows.filter(business=only) if only else rows).count()
    text = f"Nothing is overdue. Events that are due later: {count}."
    return found(Subject.DELIVERY, "nothing_overdue", text)


def _last_answer(using: str, alias: str) -> Finding:
    # An attempt in progress has no answer yet.
    answered = _attempts(using, alias).filter(finished_at__isnull=False)
    last = answered.order_by("-started_at").first()
    if last is None:
        text = f"Nothing has been sent for {alias} yet."
        return found(Subject.DELIVERY, "nothing_sent_yet", text)
    status = f" {last.status_code}" if last.status_code else ""
    text = f"{alias}: last attempt {_minute(last.started_at)}, {last.outcome}{status}"
    if last.outcome == Outcome.CONFIRMED:
        return found(Subject.DELIVERY, "last_answer_ok", f"{text}.")
    delivered = _last_delivered(using, alias)
    before = f"last delivery {_minute(delivered)}" if delivered else "no delivery yet"
    message = f": {one_line(last.detail)}" if last.detail else ""
    return found(Subject.DELIVERY, "last_answer_bad", f"{text} ({before}){message}")


def _attempts(using: str, alias: str) -> QuerySet[DeliveryAttempt]:
    """Return those of the newest rows, since no index leads to the last of all."""
    rows = Conversion.objects.using(using).filter(business=alias, attempts__gt=0)
    keys = list(rows.order_by("-pk").values_list("pk", flat=True)[:NEWEST])
    return DeliveryAttempt.objects.using(using).filter(conversion__in=keys)


def _last_delivered(using: str, alias: str) -> datetime | None:
    rows = Conversion.objects.using(using).filter(business=alias)
    delivered = rows.filter(state=State.DELIVERED).order_by("-pk")
    return delivered.values_list("delivered_at", flat=True).first()


def _minute(at: datetime) -> str:
    return local_time(at).strftime("%Y-%m-%d %H:%M")
