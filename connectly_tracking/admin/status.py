"""Whether orders are being sent: the delivery page."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from statistics import quantiles
from typing import TYPE_CHECKING, Any, Final

from django.db import router
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from ..findings import Level
from ..models import (
    Circuit,
    Conversion,
    Reason,
    State,
    local_time,
)
from ..remedies import FOR_NO_WORKER, FOR_PAUSE, FOR_REASON, NO_WORKER
from ..reports.delivery import LATELY, Backlog, backlogs, given_up, last_delivered
from ..reports.health import current_findings, newest, settings_problem
from .display import clock
from .earnings import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from django_stubs_ext import StrOrPromise

    from ..findings import Finding

#: Seconds after which the browser asks for the page again.
REFRESH: Final = 30
DAYS: Final = 7
WEEK: Final = timedelta(days=DAYS)
#: So many of a day's deliveries are timed.
MAX_TIMED: Final = 1_000

#: What is wrong, in words for people; the doctor has the details.
_WRONG: Final[Mapping[str, StrOrPromise]] = {
    "business_forgotten": _(
        "Orders are waiting, but their business is not in the settings."
    ),
    "database_may_be_copied": _(
        "Orders are waiting, but no new one has been recorded for 24 hours."
    ),
    "behind": _("Orders come in faster than they are sent."),
    "nobody_looks": NO_WORKER,
    "failing": _("Some reports have been failing for more than an hour."),
    "expiring_soon": _("Some waiting orders will expire within a day."),
    "rejected_lately": _("Orders were rejected in the last 24 hours."),
    "expired_lately": _("Orders expired in the last 24 hours."),
    "last_answer_bad": _("The last attempt failed."),
    "clicks_stopped": _("No click for 24 hours, after a week with clicks every day."),
    "orders_stopped": _("No order for 24 hours, after a week with orders every day."),
    "parameter_missing": _("The links of the ads have lost a parameter."),
}
_WHAT_TO_DO: Final[Mapping[str, StrOrPromise]] = {
    "business_forgotten": _("Put the business back into the setting BUSINESSES."),
    "database_may_be_copied": _(
        "If this database is a copy or was restored, set SEND to False before a "
        "worker sends these orders again."
    ),
    "behind": _("If this lasts, raise THREADS or start another worker."),
    "nobody_looks": FOR_NO_WORKER,
    "failing": _("Open a waiting order, and read the last attempts on its timeline."),
    "expiring_soon": _("Open the waiting orders: each page says why it waits."),
    "rejected_lately": _("Open the rejected orders: each page says what to do."),
    "expired_lately": _(
        "Open the expired orders to see why they waited. You can send them again, "
        "but Meta refuses those that are more than 7 days old."
    ),
    "last_answer_bad": _(
        "Nothing to do after a single failure: the order is sent again."
    ),
    "clicks_stopped": _("Open an ad's link yourself, and see whether a click appears."),
    "orders_stopped": _("Place a test order, and see whether it appears."),
    "parameter_missing": _(
        "Check that an ad's link has all five parameters: cnct_tracking_id, "
        "sendout_id, ctwa_clid, ad_id and attribution_source."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Something that is wrong, and what to do. ``level``: bad or wait."""

    level: str
    what: StrOrPromise
    remedy: StrOrPromise
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessStatus:
    """``problem``: why nothing can be sent for the business; empty if it can."""

    alias: str
    backlog: Backlog
    delivered_at: datetime | None
    pause: Circuit | None
    problem: str
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> list[Wrong]:
        """Everything that is wrong, the worst first."""
        found = list(self._wrong())
        return sorted(found, key=lambda it: it.level != "bad")

    def _wrong(self) -> Iterator[Wrong]:
        if self.problem:
            yield Wrong(
                level="bad", what=gettext("Nothing is sent."), remedy=self.problem
            )
        if self.pause is not None:
            why = self.pause.get_reason_display()
            by_itself = {Circuit.Reason.UNAVAILABLE, Circuit.Reason.THROTTLED}
            yield Wrong(
                level="wait" if self.pause.reason in by_itself else "bad",
                what=gettext("Paused: %(why)s.") % {"why": why},
                remedy=FOR_PAUSE.get(self.pause.reason, ""),
                detail=self.pause.detail,
            )
        for finding in self.findings:
            if finding.is_problem and finding.code in _WRONG:
                yield Wrong(
                    level="bad" if finding.level == Level.ERROR else "wait",
                    what=_WRONG[finding.code],
                    remedy=_WHAT_TO_DO[finding.code],
                )

    @property
    def summary(self) -> StrOrPromise:
        """What can be said if nothing is wrong."""
        if not conf.SEND:
            return gettext("Nothing is sent.")
        if self.backlog.due:
            return gettext("Orders are being sent.")
        if self.delivered_at is None:
            return gettext("Nothing has been sent yet.")
        return gettext("All is well.")

    @property
    def level(self) -> str:
        is_good = conf.SEND and (self.backlog.due or self.delivered_at)
        return "good" if is_good else "wait"

    @property
    def facts(self) -> list[tuple[str, StrOrPromise]]:
        """Names and values, as the page lists them."""
        found = [
            (gettext("Waiting"), count(self.backlog.waiting)),
            (gettext("Ready to send"), count(self.backlog.due)),
            (gettext("Oldest ready since"), clock(self.backlog.due_since)),
            (gettext("Last delivered"), clock(self.delivered_at)),
        ]
        if self.pause is not None and not self.pause.is_by_hand:
            found.append((gettext("Next attempt"), clock(self.pause.paused_until)))
        if self.time_left:
            found.append((gettext("Oldest waiting order expires in"), self.time_left))
        return found

    @property
    def time_left(self) -> str:
        if self.backlog.expires_at is None:
            return ""
        left = self.backlog.expires_at - timezone.now()
        days, hours = divmod(max(int(left.total_seconds() // 3600), 0), 24)
        parts = (
            ngettext("%(count)d day", "%(count)d days", days) % {"count": days},
            ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours},
        )
        return ", ".join(parts)


def delivery_status() -> dict[str, Any]:
    """Return what the delivery page shows, also if a setting is wrong."""
    shown: dict[str, Any] = {
        "businesses": [],
        "sends": True,
        "problem": "",
        "checked_at": clock(timezone.now()),
        "refresh": REFRESH,
    }
    if problem := settings_problem():
        return shown | {"problem": problem}
    findings = current_findings()
    return shown | {
        "sends": conf.SEND,
        "businesses": _businesses(findings),
        "silences": [
            Wrong(level="wait", what=_WRONG[it.code], remedy=_WHAT_TO_DO[it.code])
            for it in findings
            if it.is_problem and not it.business and it.code in _WRONG
        ],
        "newest": _newest(),
        "ended": _ended(),
        "durations": _durations(),
    }


def _businesses(findings: list[Finding]) -> list[BusinessStatus]:
    """Return those of the settings, and those that have orders waiting or a pause."""
    using = router.db_for_write(Conversion)
    waiting = backlogs(using)
    pauses = Circuit.objects.paused().in_bulk()
    known = list(conf.BUSINESSES)
    return [
        BusinessStatus(
            alias=alias,
            backlog=waiting.get(alias, Backlog()),
            delivered_at=last_delivered(using, alias),
            pause=pauses.get(alias),
            problem=conf.credentials_problem(alias),
            findings=tuple(it for it in findings if it.business == alias),
        )
        for alias in [*known, *sorted({*waiting, *pauses} - {*known})]
    ]


def _newest() -> list[tuple[str, StrOrPromise]]:
    found = newest()
    return [
        (gettext("Last click"), clock(found["last_click_at"])),
        (gettext("Last order"), clock(found["last_order_at"])),
        (gettext("Last delivery"), clock(found["last_delivered_at"])),
    ]


def _ended() -> list[dict[str, Any]]:
    """What was rejected or became too old, by reason: in a day and in a week."""
    using = router.db_for_write(Conversion)
    found = []
    in_day = given_up(using, LATELY)
    for state, counts in given_up(using, WEEK).items():
        day = _by_reason(in_day[state])
        for reason, in_week in _by_reason(counts).items():
            found.append(
                {
                    "state": state,
                    "label": State(state).label,
                    "reason": reason,
                    "why": Reason(reason).label if reason in Reason else reason,
                    "remedy": FOR_REASON.get(reason, ""),
                    "in_day": day.get(reason, 0),
                    "in_week": in_week,
                }
            )
    return found


def _by_reason(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for reasons in counts.values():
        for reason, number in reasons.items():
            total[reason] += number
    return dict(total)


def _durations() -> list[dict[str, str]]:
    """How long deliveries took, from the order's record on, by the day of the record.

    Of a day with more than `MAX_TIMED` of them the newest ones are timed, and said so.
    """
    today = local_time(timezone.now()).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    found = []
    for ago in range(DAYS):
        # By the calendar, since a day may have 23 or 25 hours.
        begins, ends = _midnight(today, ago), _midnight(today, ago - 1)
        rows = Conversion.objects.filter(
            state=State.DELIVERED, recorded_at__gte=begins, recorded_at__lt=ends
        )
        if not (delivered := rows.count()):
            continue
        columns = rows.order_by("-recorded_at").values_list(
            "recorded_at", "replayed_at", "delivered_at"
        )
        seconds = [
            max((delivered_at - (replayed_at or recorded_at)).total_seconds(), 0.0)
            for recorded_at, replayed_at, delivered_at in columns[:MAX_TIMED]
            if delivered_at is not None
        ]
        found.append(
            {
                "day": date_format(begins),
                "count": count(delivered),
                "half": _seconds(_quantile(seconds, 50)),
                "most": _seconds(_quantile(seconds, 95)),
                "timed": count(MAX_TIMED) if delivered > MAX_TIMED else "",
            }
        )
    return found


def _midnight(today: datetime, ago: int) -> datetime:
    """Return the beginning of the day so many days ago, in the current time zone."""
    day = today.replace(tzinfo=None) - timedelta(days=ago)
    return timezone.make_aware(day) if timezone.is_aware(today) else day


def _quantile(values: list[float], percent: int) -> float:
    if len(values) < 2:
        return sum(values)
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _seconds(value: float) -> str:
    return gettext("%(seconds)s s") % {"seconds": number_format(round(value, 1), 1)}
