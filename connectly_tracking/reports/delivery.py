"""Findings on the rows: what is late, fails, was given up or has stopped coming.

Beat has no heartbeat. If it does not run, events become overdue.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, Min, Q
from django.utils import timezone

from ..api.landing import PARAMETERS
from ..api.verdicts import Outcome
from ..conf import conf
from ..findings import Subject, found, one_line
from ..models import (
    OVERDUE,
    Attribution,
    Circuit,
    Conversion,
    DbNow,
    DeliveryAttempt,
    State,
    age_field,
    ago,
    greatest_age,
    local_time,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from ..findings import Finding

NEWEST: Final = 100  # rows in which the last answer is looked for
LATELY: Final = timedelta(days=1)
FAILING_AFTER: Final = timedelta(hours=1)
#: So many days without a gap make a habit.
HABIT: Final = 7
#: So many clicks of a day show whether a parameter is missing.
ENOUGH_CLICKS: Final = 20


def examine_delivery(
    using: str, *, aliases: Sequence[str], ready: Sequence[str], only: str | None
) -> Iterator[Finding]:
    overdue = _overdue(using, only)
    for circuit in Circuit.objects.using(using).paused():
        if only in (None, circuit.pk):
            yield _pause(circuit, overdue.get(circuit.pk))
    if conf.SEND and overdue:
        yield from _may_be_copied(using)
    excused = _excused(using)
    for alias, events in overdue.items():
        if aliases and alias not in aliases:
            text = f"{alias}: {events}. The settings lack this business."
            yield found(Subject.DELIVERY, "business_forgotten", text, business=alias)
        elif conf.SEND and alias in ready and alias not in excused:
            yield _late(using, alias, events)
    if conf.SEND and not overdue:
        yield _nothing_overdue(using, only)
    yield from _failing(using, only)
    yield from _expiring(using, only)
    yield from _given_up(using, only)
    for alias in aliases:
        yield _last_answer(using, alias)
    if only is None:
        yield from _silence(using)


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
    if not orders.filter(recorded_at__gte=ago(LATELY)).exists():
        newest = orders.order_by("-recorded_at").first()
        since = f" since {_minute(newest.recorded_at)}" if newest else ""
        text = f"Orders are waiting, but none has been recorded{since}."
        yield found(Subject.DELIVERY, "database_may_be_copied", text)


def _pause(circuit: Circuit, overdue: str | None) -> Finding:
    events = f" ({overdue})" if overdue else ""
    next_try = ""
    if circuit.paused_until and not circuit.is_by_hand:
        next_try = f", next try {_minute(circuit.paused_until)}"
    text = f"{circuit.pk} is paused{events}{next_try}: {one_line(circuit.detail)}"
    code = f"paused_{circuit.reason}"
    return found(Subject.DELIVERY, code, text, business=circuit.pk)


def _excused(using: str) -> set[str]:
    """Return the businesses whose orders rightly wait: their pause is one by hand, or
    its probe is not overdue, too.
    """
    waits = Q(paused_until__gt=DbNow(-OVERDUE)) | Q(reason=Circuit.Reason.BY_HAND)
    rows = Circuit.objects.using(using).paused().filter(waits)
    return set(rows.values_list("pk", flat=True))


def _late(using: str, alias: str, overdue: str) -> Finding:
    recent = _attempts(using, alias).filter(started_at__gte=DbNow(-OVERDUE))
    rows = Conversion.objects.using(using).filter(business=alias)
    if recent.exists() or rows.filter(state=State.SENDING, due_at__gt=DbNow()).exists():
        text = f"{alias}: {overdue}. A worker is sending them."
        return found(Subject.DELIVERY, "behind", text, business=alias)
    text = f"{alias}: {overdue}, and no worker is sending them."
    return found(Subject.DELIVERY, "nobody_looks", text, business=alias)


def _nothing_overdue(using: str, only: str | None) -> Finding:
    rows = Conversion.objects.using(using).filter(due_at__isnull=False)
    count = (rows.filter(business=only) if only else rows).count()
    text = f"Nothing is overdue. Events that are due later: {count}."
    return found(Subject.DELIVERY, "nothing_overdue", text)


def _failing(using: str, only: str | None) -> Iterator[Finding]:
    """Orders that were tried more than once, and are still not sent after an hour."""
    rows = Conversion.objects.using(using).filter(
        due_at__isnull=False,
        attempts__gt=1,
        recorded_at__lt=timezone.now() - FAILING_AFTER,
    )
    paused = set(Circuit.objects.using(using).paused().values_list("pk", flat=True))
    grouped: Any = rows.order_by().values_list("business")
    for alias, count, oldest in grouped.annotate(Count("pk"), Min("recorded_at")):
        if only in (None, alias) and alias not in paused:
            text = f"{alias}: {count} tried in vain, oldest since {_minute(oldest)}."
            yield found(Subject.DELIVERY, "failing", text, business=alias)


def _expiring(using: str, only: str | None) -> Iterator[Finding]:
    age = greatest_age()
    limit = ago(age - min(LATELY, age / 4))
    rows = Conversion.objects.using(using).filter(
        due_at__isnull=False, replayed_at=None, **{f"{age_field()}__lt": limit}
    )
    grouped: Any = rows.order_by().values_list("business")
    for alias, count in grouped.annotate(Count("pk")):
        if only in (None, alias):
            text = f"{alias}: {count} waiting will be too old within a day."
            yield found(Subject.DELIVERY, "expiring_soon", text, business=alias)


def _given_up(using: str, only: str | None) -> Iterator[Finding]:
    """What was rejected or has expired in the last 24 hours, by reason."""
    for state in (State.REJECTED, State.EXPIRED):
        for alias, reasons in given_up(using, state, LATELY).items():
            if only in (None, alias):
                listed = ", ".join(f"{count} {why}" for why, count in reasons.items())
                text = f"{alias}: {state} in the last 24 hours: {listed}."
                code = f"{state}_lately"
                yield found(Subject.DELIVERY, code, text, business=alias)


def given_up(using: str, state: State, age: timedelta) -> dict[str, dict[str, int]]:
    """Count by business and reason what ended in this state within an age."""
    rows = Conversion.objects.using(using).filter(
        state=state, ended_at__gte=timezone.now() - age
    )
    grouped: Any = rows.order_by("reason").values_list("business", "reason")
    counts: dict[str, dict[str, int]] = {}
    for alias, reason, count in grouped.annotate(Count("pk")):
        counts.setdefault(alias, {})[reason] = count
    return counts


def _silence(using: str) -> Iterator[Finding]:
    """Clicks or orders that came every day and have stopped; a missing parameter."""
    clicks = Attribution.objects.using(using).order_by("-captured_at")
    orders = Conversion.objects.using(using).order_by("-recorded_at")
    if _has_stopped(clicks, "captured_at"):
        text = "No click for 24 hours, after at least one on each of the 7 days before."
        yield found(Subject.DELIVERY, "clicks_stopped", text)
    if _has_stopped(orders, "recorded_at"):
        text = "No order for 24 hours, after at least one on each of the 7 days before."
        yield found(Subject.DELIVERY, "orders_stopped", text)
    now = timezone.now()
    newest = list(clicks.filter(captured_at__gte=now - LATELY)[:NEWEST])
    if len(newest) < ENOUGH_CLICKS:
        return
    earlier = list(clicks.filter(captured_at__lt=now - LATELY)[:NEWEST])
    missing = [
        name
        for name in PARAMETERS
        if not any(getattr(click, name) for click in newest)
        and 2 * sum(bool(getattr(click, name)) for click in earlier) > len(earlier)
    ]
    if missing:
        names = ", ".join(missing)
        text = f"No click of the last 24 hours has {names}; most had it before."
        yield found(Subject.DELIVERY, "parameter_missing", text)


def _has_stopped(rows: QuerySet[Any], column: str) -> bool:
    now = timezone.now()
    if rows.filter(**{f"{column}__gte": now - LATELY}).exists():
        return False
    return all(
        rows.filter(
            **{
                f"{column}__gte": now - (day + 1) * LATELY,
                f"{column}__lt": now - day * LATELY,
            }
        ).exists()
        for day in range(1, HABIT + 1)
    )


def _last_answer(using: str, alias: str) -> Finding:
    # An attempt in progress has no answer yet.
    answered = _attempts(using, alias).filter(finished_at__isnull=False)
    last = answered.order_by("-started_at").first()
    if last is None:
        text = f"Nothing has been sent for {alias} yet."
        return found(Subject.DELIVERY, "nothing_sent_yet", text, business=alias)
    status = f" {last.status_code}" if last.status_code else ""
    text = f"{alias}: last attempt {_minute(last.started_at)}, {last.outcome}{status}"
    if last.outcome == Outcome.CONFIRMED:
        return found(Subject.DELIVERY, "last_answer_ok", f"{text}.", business=alias)
    delivered = last_delivered(using, alias)
    before = f"last delivery {_minute(delivered)}" if delivered else "no delivery yet"
    message = f": {one_line(last.detail)}" if last.detail else ""
    text = f"{text} ({before}){message}"
    return found(Subject.DELIVERY, "last_answer_bad", text, business=alias)


def _attempts(using: str, alias: str) -> QuerySet[DeliveryAttempt]:
    """Return those of the newest rows, since no index leads to the last of all."""
    rows = Conversion.objects.using(using).filter(business=alias, attempts__gt=0)
    keys = list(rows.order_by("-pk").values_list("pk", flat=True)[:NEWEST])
    return DeliveryAttempt.objects.using(using).filter(conversion__in=keys)


def last_delivered(using: str, alias: str | None = None) -> datetime | None:
    """Return when an order was delivered last, of a business or of all, or None.

    Looks among the newest orders, which an index finds.
    """
    rows = Conversion.objects.using(using).filter(state=State.DELIVERED)
    if alias is not None:
        rows = rows.filter(business=alias)
    newest = rows.order_by("-recorded_at").values_list("delivered_at", flat=True)
    return max((at for at in newest[:NEWEST] if at is not None), default=None)


def _minute(at: datetime) -> str:
    return local_time(at).strftime("%Y-%m-%d %H:%M")
