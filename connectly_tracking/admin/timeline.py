"""A conversion's story: click, order, each attempt, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..models import DeliveryAttempt, State, is_overdue
from .advice import clock
from .answers import explained

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from django_stubs_ext import StrOrPromise

    from ..models import Attribution, Conversion

#: Enough for a week of outage; more would be no page any more.
MOST: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """``words`` are another's, whole; ``explanation`` is ours. ``kind`` is for the eye:
    click, order, good, bad, wait or note.
    """

    at: datetime | None
    kind: str
    title: StrOrPromise
    facts: tuple[str, ...] = ()
    words: str = ""
    explanation: StrOrPromise = ""

    @property
    def time(self) -> str:
        return clock(self.at)


def timeline(
    conversion: Conversion, click: Attribution | None
) -> tuple[list[Entry], int]:
    """The entries in their order, and how many attempts in the middle are left out."""
    attempts = list(conversion.delivery_attempts.order_by("-started_at")[: MOST + 1])
    left_out = 0
    if len(attempts) > MOST:
        left_out = conversion.delivery_attempts.count() - MOST
        attempts = attempts[:MOST]
    entries = [*_before(conversion, click)]
    if _is_under_way(conversion, attempts):
        entries.append(_under_way(attempts.pop(0)))
    entries += [*_attempted(attempts[::-1]), *_after(conversion)]
    known = [entry for entry in entries if entry.at is not None]
    return sorted(known, key=_at), left_out


def _at(entry: Entry) -> float:
    """An order's time is in whole seconds; a click in the same one came before it."""
    at = entry.at.timestamp() if entry.at else 0.0
    return at // 1 if entry.kind == "click" else at


def _before(conversion: Conversion, click: Attribution | None) -> Iterator[Entry]:
    ids = []
    if click is not None and click.page:
        ids.append(_("landed on %(page)s") % {"page": click.page})
    if conversion.sendout_id:
        ids.append(_("campaign %(id)s") % {"id": conversion.sendout_id})
    if conversion.ad_id:
        ids.append(_("ad %(id)s") % {"id": conversion.ad_id})
    if click is not None and click.refused:
        ids.append(_("refused: %(values)s") % {"values": click.refused})
    yield Entry(
        at=conversion.clicked_at,
        kind="click",
        title=_("Clicked on the ad"),
        facts=tuple(ids),
    )
    yield Entry(
        at=conversion.event_time,
        kind="order",
        title=_("Order placed"),
        facts=(conversion.amount,) if conversion.amount else (),
    )
    # What is given up has a detail, too, which nobody knew by then.
    known = conversion.detail if conversion.state == State.SKIPPED else ""
    yield Entry(
        at=conversion.recorded_at,
        kind="order",
        title=_("Recorded"),
        facts=(str(known),) if known else (),
    )


def _is_under_way(conversion: Conversion, attempts: Sequence[DeliveryAttempt]) -> bool:
    """Whether the newest is in a worker's hands, as far as anybody knows."""
    held = conversion.state == State.SENDING and not is_overdue(conversion.due_at)
    return held and bool(attempts) and attempts[0].finished_at is None


def _under_way(attempt: DeliveryAttempt) -> Entry:
    return Entry(
        at=attempt.started_at,
        kind="wait",
        title=_("Sent to Connectly"),
        facts=(_("under way"),),
    )


def _attempted(attempts: Sequence[DeliveryAttempt]) -> Iterator[Entry]:
    for attempt in attempts:
        facts = [str(attempt.get_outcome_display())]
        if attempt.status_code:
            facts.append(_("status %(code)d") % {"code": attempt.status_code})
        if attempt.finished_at is None:
            facts.append(_("no end was seen"))
        else:
            took = attempt.finished_at - attempt.started_at
            milliseconds = round(took.total_seconds() * 1000)
            facts.append(
                ngettext("%(count)d ms", "%(count)d ms", milliseconds)
                % {"count": milliseconds}
            )
        yield Entry(
            at=attempt.started_at,
            kind=_kind(attempt),
            title=_("Sent to Connectly"),
            facts=tuple(facts),
            words=attempt.detail,
            explanation=explained(attempt),
        )


def _kind(attempt: DeliveryAttempt) -> str:
    match attempt.outcome:
        case DeliveryAttempt.Outcome.CONFIRMED:
            return "good"
        case DeliveryAttempt.Outcome.REFUSED | DeliveryAttempt.Outcome.INTERNAL:
            return "bad"
    return "wait"


def _after(conversion: Conversion) -> Iterator[Entry]:
    yield Entry(at=conversion.delivered_at, kind="good", title=_("Delivered"))
    yield Entry(at=conversion.cancelled_at, kind="note", title=_("Order cancelled"))
    yield Entry(
        at=conversion.replayed_at, kind="note", title=_("Sent again by a person")
    )
