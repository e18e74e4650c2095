"""A conversion's story: the click, the order, each attempt, and the next step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils.translation import gettext as _

from ..api.verdicts import Outcome
from ..models import DeliveryAttempt, Reason, State, is_overdue
from ..remedies import ENDS, FOR_NO_WORKER, FOR_PAUSE, advice_for, diagnose
from ..reports.explanation import translate_detail
from .actions import CANCEL, SEND_AGAIN, ConfirmedAction
from .display import clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from django_stubs_ext import StrOrPromise

    from ..models import Attribution, Circuit, Conversion

#: Enough for a week of outage; more would make the page too long.
ATTEMPTS_SHOWN: Final = 50
#: How the outcomes that are final are coloured; the others wait.
_KINDS: Final[dict[str, str]] = {
    Outcome.CONFIRMED: "good",
    Outcome.REFUSED: "bad",
    Outcome.INTERNAL: "bad",
}
#: How far a log entry's time may be from the row's, which the database's clock sets.
LOG_TOLERANCE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """``answer`` is Connectly's or the network's text, whole; ``explanation`` is ours.

    ``kind`` chooses the colour: click, order, good, bad, wait or note.
    """

    at: datetime | None
    kind: str
    title: StrOrPromise
    facts: tuple[str, ...] = ()
    answer: str = ""
    explanation: StrOrPromise = ""

    @property
    def time(self) -> StrOrPromise:
        return clock(self.at) if self.at else ""

    @property
    def order(self) -> float:
        """An order's time is in whole seconds: a click in the same one came first. The
        database's clock may be as coarse as milliseconds.
        """
        if self.at is None:
            return math.inf
        step = 1_000_000 if self.kind == "click" else 1000  # microseconds
        at = self.at.replace(microsecond=self.at.microsecond // step * step)
        return at.timestamp()


def timeline(
    conversion: Conversion, click: Attribution | None
) -> tuple[list[TimelineEntry], int]:
    """Return the entries in order, and how many earlier attempts are left out."""
    newest = conversion.delivery_attempts.order_by("-started_at")
    attempts = list(newest[: ATTEMPTS_SHOWN + 1])
    left_out = 0
    if len(attempts) > ATTEMPTS_SHOWN:
        left_out = newest.count() - ATTEMPTS_SHOWN
        attempts = attempts[:ATTEMPTS_SHOWN]
    if under_way := DeliveryAttempt.under_way(conversion):
        attempts.insert(0, under_way)
    entries = [
        *_before(conversion, click),
        *_sent(conversion, attempts),
        *_after(conversion),
    ]
    known = [entry for entry in entries if entry.at is not None]
    known += _end(conversion, attempts)
    return sorted(known, key=lambda entry: entry.order), left_out


def _before(
    conversion: Conversion, click: Attribution | None
) -> Iterator[TimelineEntry]:
    facts = []
    if click is not None and click.page:
        facts.append(_("landing page %(page)s") % {"page": click.page})
    if conversion.sendout_id:
        facts.append(_("campaign %(id)s") % {"id": conversion.sendout_id})
    if conversion.ad_id:
        facts.append(_("ad %(id)s") % {"id": conversion.ad_id})
    if click is not None and click.refused:
        values = {"values": click.refused}
        facts.append(_("repaired or not kept: %(values)s") % values)
    yield TimelineEntry(
        at=conversion.clicked_at,
        kind="click",
        title=_("Ad clicked"),
        facts=tuple(facts),
    )
    yield TimelineEntry(
        at=conversion.event_time,
        kind="order",
        title=_("Order placed"),
        facts=(conversion.amount,) if conversion.amount else (),
    )
    # The detail of an internal error is not from when the row was recorded.
    is_ours = conversion.reason == Reason.INTERNAL
    detail = "" if is_ours else translate_detail(conversion.detail)
    yield TimelineEntry(
        at=conversion.recorded_at,
        kind="order",
        title=_("Recorded"),
        facts=(detail,) if detail else (),
    )


def _sent(
    conversion: Conversion, attempts: Sequence[DeliveryAttempt]
) -> Iterator[TimelineEntry]:
    """``attempts`` are the newest first."""
    held = conversion.state == State.SENDING and not is_overdue(conversion.due_at)
    for attempt in reversed(attempts):
        under_way = held and attempt is attempts[0] and attempt.finished_at is None
        not_sent = attempt.outcome == Outcome.NOT_SENT
        diagnosis = diagnose(attempt.outcome, attempt.status_code, attempt.detail)
        yield TimelineEntry(
            at=attempt.started_at,
            kind=_KINDS.get(attempt.outcome, "wait"),
            title=_("Tried to send") if not_sent else _("Sent to Connectly"),
            facts=(_("under way"),) if under_way else tuple(_facts(attempt)),
            answer=attempt.detail,
            explanation=diagnosis.explain() if diagnosis and not under_way else "",
        )


def _facts(attempt: DeliveryAttempt) -> Iterator[str]:
    yield attempt.get_outcome_display()
    if attempt.status_code:
        yield _("status %(code)d") % {"code": attempt.status_code}
    if attempt.finished_at is None:
        yield _("no answer recorded")
    else:
        took = attempt.finished_at - attempt.started_at
        yield _("%(count)d ms") % {"count": round(took / timedelta(milliseconds=1))}


def _after(conversion: Conversion) -> Iterator[TimelineEntry]:
    yield TimelineEntry(at=conversion.delivered_at, kind="good", title=_("Delivered"))
    title = _("Sent again")
    if user := _user_who(SEND_AGAIN, conversion, conversion.replayed_at):
        title = _("Sent again by %(user)s") % {"user": user}
    yield TimelineEntry(at=conversion.replayed_at, kind="note", title=title)
    title = _("Order cancelled")
    if user := _user_who(CANCEL, conversion, conversion.cancelled_at):
        title = _("Report cancelled by %(user)s") % {"user": user}
    yield TimelineEntry(at=conversion.cancelled_at, kind="note", title=title)


def _end(
    conversion: Conversion, attempts: Sequence[DeliveryAttempt]
) -> Iterator[TimelineEntry]:
    """Yield how an order was given up, if it was. ``attempts`` are the newest first."""
    title = ENDS.get(conversion.state)
    if title is None or conversion.reason == Reason.CANCELLED:
        return
    at = conversion.ended_at
    if at is None and conversion.state == State.SKIPPED:
        at = conversion.recorded_at
    elif at is None and conversion.state == State.REJECTED and attempts:
        at = attempts[0].finished_at
    if at is not None:  # it comes last; the database's clock may be coarser
        tried = [attempt.finished_at or attempt.started_at for attempt in attempts]
        at = max(at, conversion.recorded_at, *tried)
    is_bad = conversion.state != State.SKIPPED
    yield TimelineEntry(
        at=at,
        kind="bad" if is_bad else "note",
        title=title,
        facts=(str(conversion.explanation),) if conversion.explanation else (),
    )


def _user_who(
    action: ConfirmedAction, conversion: Conversion, at: datetime | None
) -> str:
    """Return the name of the admin user who took that action then, if it is logged."""
    if at is None:
        return ""
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(conversion),
        object_id=str(conversion.pk),
        change_message=action.log_message,
        action_time__range=(at - LOG_TOLERANCE, at + LOG_TOLERANCE),
    )
    entry = entries.select_related("user").order_by("-action_time").first()
    return entry.user.get_username() if entry else ""


def next_step(conversion: Conversion, pause: Circuit | None) -> StrOrPromise:
    """Return what a person can do, or expect; ``pause`` is that of the business."""
    match conversion.state:
        case State.PENDING if pause is not None:
            return FOR_PAUSE.get(pause.reason, "")
        case State.PENDING | State.SENDING if is_overdue(conversion.due_at):
            return FOR_NO_WORKER
        case State.SENDING:
            return _("If its worker stops, another worker sends it.")
        case State.DELIVERED if conversion.cancelled_at is not None:
            return _(
                "Nothing to do. The report cannot be withdrawn: Connectly has no "
                "event for a cancellation."
            )
    return advice_for(conversion)
