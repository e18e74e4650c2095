"""What the rows tell: what waits, what is paused, and the last answers.

Beat has no heartbeat; whether anybody looks shows in what is overdue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, Min

from ..api.verdicts import Outcome
from ..conf import conf
from ..models import OVERDUE, Circuit, Conversion, DbNow, DeliveryAttempt, State
from .clock import local
from .finding import Subject, found, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from .finding import Finding

NEWEST: Final = 100  # rows in which the last answer is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class _Late:
    """What of one business has been due for too long."""

    business: str
    count: int
    oldest: datetime

    def __str__(self) -> str:
        return f"{self.count} overdue, the oldest since {local(self.oldest)}"


def examine_delivery(
    using: str, *, names: Sequence[str], ready: Sequence[str], only: str | None
) -> Iterator[Finding]:
    paused = {
        circuit.pk: circuit
        for circuit in Circuit.objects.using(using).exclude(paused_until=None)
        if only in (None, circuit.pk)
    }
    late = {it.business: it for it in _late(using) if only in (None, it.business)}
    for circuit in paused.values():
        yield _pause(circuit, late.get(circuit.pk))
    excused = _waiting_for_a_probe(using, paused)
    for alias, waiting in late.items():
        if names and alias not in names:
            text = f"{alias}, which the settings lack: {waiting}."
            yield found(Subject.DELIVERY, "business_forgotten", text)
        elif conf.SEND and alias in ready and alias not in excused:
            recent = _attempts(using, alias).filter(started_at__gte=DbNow(-OVERDUE))
            code = "behind" if recent.exists() else "nobody_looks"
            yield found(Subject.DELIVERY, code, f"{alias}: {waiting}.")
    if conf.SEND and not late:
        yield _nothing_late(using, only)
    for alias in names:
        yield _last(using, alias)


def _late(using: str) -> list[_Late]:
    rows = Conversion.objects.using(using).filter(due_at__lte=DbNow(-OVERDUE))
    grouped: Any = rows.order_by().values("business")
    counted = grouped.annotate(count=Count("pk"), oldest=Min("due_at"))
    return [_Late(**row) for row in counted]


def _nothing_late(using: str, only: str | None) -> Finding:
    rows = Conversion.objects.using(using).filter(due_at__isnull=False)
    count = (rows.filter(business=only) if only else rows).count()
    text = f"Nothing has been due for more than {OVERDUE / 60:g} minutes"
    waits = "1 waits for its time" if count == 1 else f"{count} wait for their time"
    text += f"; {waits}." if count else "."
    return found(Subject.DELIVERY, "nothing_overdue", text)


def _pause(circuit: Circuit, late: _Late | None) -> Finding:
    until = local(circuit.paused_until) if circuit.paused_until else "-"
    waiting = f" ({late})" if late else ""
    words = one_line(circuit.detail)
    text = f"{circuit.pk} is paused{waiting}, next try {until}: {words}"
    return found(Subject.DELIVERY, f"paused_{circuit.reason}", text)


def _waiting_for_a_probe(using: str, paused: dict[str, Circuit]) -> set[str]:
    """Paused, and not for longer than was said: then nobody probes, either."""
    rows = Circuit.objects.using(using).filter(paused_until__gt=DbNow(-OVERDUE))
    return {*paused} & set(rows.values_list("pk", flat=True))


def _last(using: str, alias: str) -> Finding:
    # One that is under way has no answer yet.
    answered = _attempts(using, alias).filter(finished_at__isnull=False)
    last = answered.order_by("-started_at").first()
    if last is None:
        text = f"Nothing of {alias} has been sent yet."
        return found(Subject.DELIVERY, "nothing_sent_yet", text)
    status = f" {last.status_code}" if last.status_code else ""
    text = f"{alias}: last attempt {local(last.started_at)}, {last.outcome}{status}"
    if last.outcome == Outcome.CONFIRMED:
        return found(Subject.DELIVERY, "last_answer_ok", f"{text}.")
    delivered = _last_delivered(using, alias)
    before = f"last delivered {local(delivered)}" if delivered else "none was delivered"
    words = f": {one_line(last.detail)}" if last.detail else ""
    return found(Subject.DELIVERY, "last_answer_bad", f"{text} ({before}){words}")


def _attempts(using: str, alias: str) -> QuerySet[DeliveryAttempt]:
    """Those of the newest rows, since no index leads to the last of all."""
    rows = Conversion.objects.using(using).filter(business=alias, attempts__gt=0)
    keys = list(rows.order_by("-pk").values_list("pk", flat=True)[:NEWEST])
    return DeliveryAttempt.objects.using(using).filter(conversion__in=keys)


def _last_delivered(using: str, alias: str) -> datetime | None:
    rows = Conversion.objects.using(using).filter(business=alias)
    delivered = rows.filter(state=State.DELIVERED).order_by("-pk")
    return delivered.values_list("delivered_at", flat=True).first()
