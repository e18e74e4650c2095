"""Findings on the rows: what is late, fails, was given up or has stopped coming.

Beat has no heartbeat. If it does not run, events become overdue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Count, Exists, Min, OuterRef, Q, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import LessThan
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

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
    EventName,
    Reason,
    State,
    age_field,
    ago,
    greatest_age,
    zoned_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from ..findings import Finding

NEWEST: Final = 100  # rows in which the last answer is looked for
LATELY: Final = timedelta(days=1)
FAILING_AFTER: Final = timedelta(hours=1)
#: So many days without a gap make a habit. After as many without, it has changed.
HABIT: Final = 7
#: So many clicks show whether a parameter is missing.
ENOUGH_CLICKS: Final = 20
_LATELY: Final = {
    State.REJECTED: gettext_lazy(
        "%(business)s: rejected in the last 24 hours: %(reasons)s."
    ),
    State.EXPIRED: gettext_lazy(
        "%(business)s: expired in the last 24 hours: %(reasons)s."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The orders of a business that are not final, and those of them that are due.

    ``expires_at``: when the oldest of them is too old; None if a setting is wrong.
    """

    waiting: int = 0
    due: int = 0
    due_since: datetime | None = None
    expires_at: datetime | None = None


def backlogs(using: str) -> dict[str, Backlog]:
    """Return what waits, by business."""
    try:
        field, age = age_field(), greatest_age()
    except ImproperlyConfigured:
        field, age = "event_time", None
    is_due = Q(due_at__lte=DbNow())
    # The age of a replayed order counts from the replay.
    rows = Conversion.objects.using(using).waiting().by_business()
    grouped = rows.annotate(
        waiting=Count("pk"),
        due=Count("pk", filter=is_due),
        since=Min("due_at", filter=is_due),
        oldest=Min(Coalesce("replayed_at", field)),
    ).values_list("alias", "waiting", "due", "since", "oldest")
    return {
        alias: Backlog(
            waiting=waiting,
            due=due,
            due_since=since,
            expires_at=oldest + age if oldest and age is not None else None,
        )
        for alias, waiting, due, since, oldest in grouped
    }


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
            text = _("%(business)s: %(events)s. This business is not in the settings.")
            text %= {"business": alias, "events": events}
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
        alias: ngettext(
            "%(count)d report overdue since %(time)s",
            "%(count)d reports overdue, the oldest since %(time)s",
            count,
        )
        % {"count": count, "time": zoned_text(oldest)}
        for alias, count, oldest in grouped.annotate(Count("pk"), Min("due_at"))
        if only in (None, alias)
    }


def _may_be_copied(using: str) -> Iterator[Finding]:
    """Orders wait, and no new ones are recorded, as in a copy or a restored backup."""
    rows = orders(using)
    if not rows.filter(recorded_at__gte=ago(LATELY)).exists():
        newest = rows.order_by("-recorded_at").first()
        text = _("Reports are waiting, but no order has been recorded.")
        if newest:
            text = _(
                "Orders are waiting, but no new one has been recorded since %(time)s."
            )
            text %= {"time": zoned_text(newest.recorded_at)}
        yield found(Subject.DELIVERY, "database_may_be_copied", text)


def _pause(circuit: Circuit, overdue: str | None) -> Finding:
    name = f"{circuit.pk} ({overdue})" if overdue else circuit.pk
    text = _("%(business)s is paused: %(detail)s")
    if circuit.paused_until and not circuit.is_by_hand:
        text = _("%(business)s is paused, next attempt %(time)s: %(detail)s")
    text %= {
        "business": name,
        "time": zoned_text(circuit.paused_until) if circuit.paused_until else "",
        "detail": one_line(circuit.detail),
    }
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
        text = _("%(business)s: %(events)s. A worker is sending them.")
        text %= {"business": alias, "events": overdue}
        return found(Subject.DELIVERY, "behind", text, business=alias)
    text = _("%(business)s: %(events)s, and no worker is sending them.")
    text %= {"business": alias, "events": overdue}
    return found(Subject.DELIVERY, "nobody_looks", text, business=alias)


def _nothing_overdue(using: str, only: str | None) -> Finding:
    rows = Conversion.objects.using(using).waiting()
    count = (rows.filter(business=only) if only else rows).count()
    text = _("No report is overdue. Due later: %(count)d.")
    text %= {"count": count}
    return found(Subject.DELIVERY, "nothing_overdue", text)


def _failing(using: str, only: str | None) -> Iterator[Finding]:
    """Orders that were tried more than once, and are still not sent an hour after their
    HOLD, or after they were replayed.
    """
    since = timezone.now() - FAILING_AFTER
    held_since = since - timedelta(seconds=conf.HOLD)
    # The attempts before a replay are in the row's number, too; those with wrong
    # settings are not.
    later = (
        DeliveryAttempt.objects.using(using)
        .filter(conversion=OuterRef("pk"), started_at__gte=OuterRef("replayed_at"))
        .exclude(outcome=DeliveryAttempt.Outcome.CONFIGURATION)
    )
    was_replayed = Q(replayed_at__lt=since) & Q(Exists(later[1:2]))
    waiting = Conversion.objects.using(using).waiting()
    rows = waiting.filter(attempts__gt=1, recorded_at__lt=since).filter(
        Q(replayed_at=None, recorded_at__lt=held_since) | was_replayed
    )
    paused = set(Circuit.objects.using(using).paused().values_list("pk", flat=True))
    counted = rows.by_business().annotate(count=Count("pk"), oldest=Min("recorded_at"))
    for alias, count, oldest in counted.values_list("alias", "count", "oldest"):
        if only in (None, alias) and alias not in paused:
            text = ngettext(
                "%(business)s: %(count)d report keeps failing, recorded at %(time)s.",
                "%(business)s: %(count)d reports keep failing, the oldest "
                "recorded at %(time)s.",
                count,
            )
            text %= {"business": alias, "count": count, "time": zoned_text(oldest)}
            yield found(Subject.DELIVERY, "failing", text, business=alias)


def _expiring(using: str, only: str | None) -> Iterator[Finding]:
    age = greatest_age()
    limit = ago(age - min(LATELY, age / 4))
    # As a condition of the count: as one on the rows, SQLite would look for all orders
    # that are as old, and not for those that wait.
    is_old = LessThan(Coalesce("replayed_at", age_field()), limit)
    waiting = Conversion.objects.using(using).waiting().by_business()
    counted = waiting.annotate(count=Count("pk", filter=is_old))
    for alias, count in counted.values_list("alias", "count"):
        if count and only in (None, alias):
            text = ngettext(
                "%(business)s: %(count)d waiting report expires within a day.",
                "%(business)s: %(count)d waiting reports expire within a day.",
                count,
            )
            text %= {"business": alias, "count": count}
            yield found(Subject.DELIVERY, "expiring_soon", text, business=alias)


def _given_up(using: str, only: str | None) -> Iterator[Finding]:
    """What was rejected or has expired in the last 24 hours, by reason."""
    for state, by_business in given_up(using, LATELY).items():
        for alias, reasons in by_business.items():
            if only in (None, alias):
                listed = "; ".join(
                    f"{Reason(why).label if why in Reason else why} ({count})"
                    for why, count in reasons.items()
                )
                text = _LATELY[state] % {"business": alias, "reasons": listed}
                code = f"{state}_lately"
                yield found(Subject.DELIVERY, code, text, business=alias)


def given_up(using: str, age: timedelta) -> dict[State, dict[str, dict[str, int]]]:
    """Count what was rejected or has expired within an age: by state, by business, and
    by reason.
    """
    rows = Conversion.objects.using(using).filter(ended_at__gte=timezone.now() - age)
    # By the state last: a database would read the index on it, with all of history.
    grouped: Any = rows.order_by("reason").values_list("reason", "business", "state")
    counts: dict[State, dict[str, dict[str, int]]] = {
        State.REJECTED: {},
        State.EXPIRED: {},
    }
    for reason, alias, state, count in grouped.annotate(Count("pk")):
        if state in counts:
            counts[State(state)].setdefault(alias, {})[reason] = count
    return counts


def _silence(using: str) -> Iterator[Finding]:
    """Clicks or orders that came every day and have stopped; a missing parameter."""
    clicks = Attribution.objects.using(using).order_by("-captured_at")
    if _has_stopped(clicks, "captured_at"):
        text = _(
            "No click for 24 hours, after at least one on each of the 7 days before."
        )
        yield found(Subject.DELIVERY, "clicks_stopped", text)
    if _has_stopped(orders(using), "recorded_at"):
        text = _(
            "No order for 24 hours, after at least one on each of the 7 days before."
        )
        yield found(Subject.DELIVERY, "orders_stopped", text)
    if missing := _lost_parameters(clicks):
        text = _(
            "None of the newest clicks has %(names)s, which most clicks had before."
        )
        text %= {"names": ", ".join(missing)}
        yield found(Subject.DELIVERY, "parameter_missing", text)


def is_still_away(using: str, code: str, text: str) -> bool:
    """Whether what a finding said does not come now either, be it a problem or not.

    ``text`` is the finding's, which names the parameters.
    """
    clicks = Attribution.objects.using(using).order_by("-captured_at")
    lately = timezone.now() - LATELY
    match code:
        case "clicks_stopped":
            return not clicks.filter(captured_at__gte=lately).exists()
        case "orders_stopped":
            return not orders(using).filter(recorded_at__gte=lately).exists()
        case "parameter_missing":
            return any(it in text for it in _missing_parameters(_latest(clicks)))
    return False


def orders(using: str) -> QuerySet[Conversion]:
    """Return the purchases. By an expression, since SQLite would read all of them by
    the index that begins with the event.
    """
    rows = Conversion.objects.using(using).alias(
        event=Coalesce("event_name", Value(""))
    )
    return rows.filter(event=EventName.PURCHASE)


def _has_stopped(rows: QuerySet[Any], column: str) -> bool:
    """Whether they came on each of seven days, and then no more; for a week."""
    now = timezone.now()
    recent = rows.filter(**{f"{column}__gte": now - (1 + HABIT) * LATELY})
    last = recent.order_by(f"-{column}").values_list(column, flat=True).first()
    if last is None or last >= now - LATELY:
        return False
    return all(
        rows.filter(
            **{
                f"{column}__gt": last - (day + 1) * LATELY,
                f"{column}__lte": last - day * LATELY,
            }
        ).exists()
        for day in range(1, HABIT)
    )


def _lost_parameters(clicks: QuerySet[Attribution]) -> list[str]:
    """Those that none of the latest clicks has, and most had on a day of the week."""
    latest = _latest(clicks)
    missing = _missing_parameters(latest)
    if not missing or len(latest) < ENOUGH_CLICKS:
        return []
    now = timezone.now()
    week = [
        list(clicks.filter(captured_at__lt=now - day * LATELY)[:NEWEST])
        for day in range(1, HABIT + 1)
    ]
    return [
        name
        for name in missing
        if any(
            2 * sum(bool(getattr(it, name)) for it in day) > len(day) for day in week
        )
    ]


def _latest(clicks: QuerySet[Attribution]) -> list[Attribution]:
    """Those of the last 24 hours; on a quiet day the last 20 of the week."""
    now = timezone.now()
    newest = list(clicks.filter(captured_at__gte=now - HABIT * LATELY)[:NEWEST])
    lately = [it for it in newest if it.captured_at >= now - LATELY]
    return max(lately, newest[:ENOUGH_CLICKS], key=len)


def _missing_parameters(latest: Sequence[Attribution]) -> list[str]:
    return [it for it in PARAMETERS if not any(getattr(click, it) for click in latest)]


def _last_answer(using: str, alias: str) -> Finding:
    # An attempt in progress has no answer yet.
    answered = _attempts(using, alias).filter(finished_at__isnull=False)
    last = answered.order_by("-started_at").first()
    if last is None:
        text = _("Nothing has been sent for %(business)s yet.") % {"business": alias}
        return found(Subject.DELIVERY, "nothing_sent_yet", text, business=alias)
    words = [last.get_outcome_display(), last.status_code]
    facts = {
        "business": alias,
        "time": zoned_text(last.started_at),
        "outcome": " ".join(str(it) for it in words if it),
    }
    text = _("%(business)s: last attempt %(time)s, %(outcome)s")
    if last.outcome == Outcome.CONFIRMED:
        text = f"{text % facts}."
        return found(Subject.DELIVERY, "last_answer_ok", text, business=alias)
    text = _("%(business)s: last attempt %(time)s, %(outcome)s (no delivery yet).")
    if delivered := last_delivered(using, alias):
        text = _(
            "%(business)s: last attempt %(time)s, %(outcome)s (last delivery "
            "%(delivered)s)."
        )
        facts["delivered"] = zoned_text(delivered)
    text %= facts  # without the API's words, which may name the customer
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
