"""Whether orders are being sent: the delivery status page, and the list of pauses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Count, Min
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..conf import conf
from ..models import Circuit, Conversion, DbNow, State, is_overdue
from ..remedies import FOR_NO_WORKER, FOR_PAUSE, NO_WORKER
from .display import clock
from .readonly import ReadOnlyAdmin

if TYPE_CHECKING:
    from datetime import datetime

    from django_stubs_ext import StrOrPromise

#: The newest delivered rows, among which the last delivery is looked for.
RECENT_ROWS: Final = 200


@admin.register(Circuit)
class CircuitAdmin(ReadOnlyAdmin):
    list_display = [
        "business",
        "paused_until",
        "reason",
        "remedy",
        "probes",
        "changed_at",
    ]
    fields = [
        "business",
        "paused_until",
        "reason",
        "remedy",
        "detail",
        "failures",
        "refusals",
        "probes",
        "changed_at",
    ]
    empty_message = _(
        "Sending has never been paused. If Connectly refuses the API key, cannot be "
        "reached or asks to wait, the pause appears here, with its reason and what to "
        "do."
    )

    @admin.display(description=_("what to do"))
    def remedy(self, circuit: Circuit) -> StrOrPromise:
        return FOR_PAUSE.get(circuit.reason, "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessStatus:
    """``problem``: why nothing can be sent for the business; empty if it can."""

    alias: str
    waiting: int
    due: int
    oldest_due: datetime | None
    oldest_event: datetime | None
    delivered_at: datetime | None
    pause: Circuit | None
    problem: str

    @property
    def is_late(self) -> bool:
        return is_overdue(self.oldest_due)

    @property
    def level(self) -> str:
        """good, wait, or bad if a person has to do something."""
        if self.problem:
            return "bad"
        if self.pause is not None:
            for_a_person = {
                Circuit.Reason.CONFIGURATION,
                Circuit.Reason.META_LINK,
                Circuit.Reason.REFUSALS,
            }
            return "bad" if self.pause.reason in for_a_person else "wait"
        return "bad" if self.is_late else "good"

    @property
    def summary(self) -> StrOrPromise:
        if self.problem:
            return _now("Nothing is sent.")
        if self.pause is not None:
            return _now("Paused: %(why)s.") % {"why": self.pause.get_reason_display()}
        if self.is_late:
            return NO_WORKER
        return _now("Orders are being sent.") if self.due else _now("All is well.")

    @property
    def remedy(self) -> StrOrPromise:
        if self.problem:
            return self.problem
        if self.pause is not None:
            return FOR_PAUSE.get(self.pause.reason, "")
        return FOR_NO_WORKER if self.is_late else ""

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Names and values, as the page lists them."""
        found = [
            (_now("Waiting"), str(self.waiting)),
            (_now("Due now"), str(self.due)),
            (_now("Due since"), clock(self.oldest_due)),
            (_now("Last delivered"), clock(self.delivered_at)),
        ]
        if self.pause is not None:
            found.append((_now("Next try"), clock(self.pause.paused_until)))
        if self.time_left:
            found.append((_now("Oldest waiting order expires in"), self.time_left))
        return found

    @property
    def time_left(self) -> str:
        limit = conf.MAX_EVENT_AGE
        if self.oldest_event is None or limit is None:
            return ""
        left = self.oldest_event + limit - timezone.now()
        days, hours = divmod(max(int(left.total_seconds() // 3600), 0), 24)
        parts = (
            ngettext("%(count)d day", "%(count)d days", days) % {"count": days},
            ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours},
        )
        return ", ".join(parts)


def delivery_status() -> dict[str, Any]:
    """Return what the delivery status page shows, also if a setting is wrong."""
    businesses, sends, problem = list[BusinessStatus](), True, ""
    try:
        sends, businesses = conf.SEND, _businesses()
        conf.validate_for_delivery()
        _read_too = conf.RETENTION, conf.RECORD_UNATTRIBUTED
    except ImproperlyConfigured as exc:
        businesses, problem = [], str(exc)
    return {
        "businesses": businesses,
        "sends": sends,
        "problem": problem,
        "checked_at": clock(timezone.now()),
    }


def _businesses() -> list[BusinessStatus]:
    """Return those of the settings, and those that have orders waiting or a pause."""
    rows = Conversion.objects.order_by().values("business")
    waiting: dict[str, Any] = {
        found["business"]: found
        for found in rows.filter(due_at__isnull=False).annotate(
            count=Count("pk"), event=Min("event_time")
        )
    }
    due: dict[str, Any] = {
        found["business"]: found
        for found in rows.filter(due_at__lte=DbNow()).annotate(
            count=Count("pk"), since=Min("due_at")
        )
    }
    pauses = Circuit.objects.exclude(paused_until=None).in_bulk()
    known = list(conf.BUSINESSES)
    return [
        BusinessStatus(
            alias=alias,
            waiting=waiting.get(alias, {}).get("count", 0),
            due=due.get(alias, {}).get("count", 0),
            oldest_due=due.get(alias, {}).get("since"),
            oldest_event=waiting.get(alias, {}).get("event"),
            delivered_at=_last_delivered(alias),
            pause=pauses.get(alias),
            problem=conf.credentials_problem(alias),
        )
        for alias in [*known, *sorted({*waiting, *pauses} - {*known})]
    ]


def _last_delivered(business: str) -> datetime | None:
    """Look among the newest rows, which an index finds."""
    rows = Conversion.objects.filter(business=business, state=State.DELIVERED)
    newest = rows.order_by("-recorded_at").values_list("delivered_at", flat=True)
    return max((at for at in newest[:RECENT_ROWS] if at is not None), default=None)
