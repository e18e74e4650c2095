"""One page for whoever is awake at three: what waits, since when, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db.models import Count, Min
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.generic import TemplateView

from ..conf import conf
from ..models import Circuit, Conversion, DbNow, State, is_overdue
from .advice import REMEDIES, clock
from .logbook import CRUMBS_ARE_LISTED

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from django_stubs_ext import StrOrPromise

#: The newest rows that are looked at for the last delivery.
RECENT: Final = 200
READ_HERE: Final = ("MAX_EVENT_AGE", "RETENTION", "RECORD_UNATTRIBUTED")
READ_BY_WORKERS: Final = ("BATCH", "LEASE", "PROBE_SCHEDULE", "RETRY_SCHEDULE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Business:
    """How one business stands. ``fault``: why nothing can be sent for it, if so.
    ``level``: good, wait or bad.
    """

    alias: str
    waiting: int
    due: int
    oldest_due: datetime | None
    oldest_event: datetime | None
    delivered_at: datetime | None
    pause: Circuit | None
    fault: str = ""

    @property
    def is_late(self) -> bool:
        return is_overdue(self.oldest_due)

    @property
    def level(self) -> str:
        if self.fault:
            return "bad"
        if self.pause is not None:
            mendable = {Circuit.Reason.CONFIGURATION, Circuit.Reason.REFUSALS}
            return "bad" if self.pause.reason in mendable else "wait"
        return "bad" if self.is_late else "good"

    @property
    def summary(self) -> str:
        if self.fault:
            return _("Nothing is sent.")
        if self.pause is not None:
            return _("Paused: %(why)s.") % {"why": self.pause.get_reason_display()}
        if self.is_late:
            return _("Nobody takes what is due.")
        if self.due:
            return _("Being sent.")
        return _("All is well.")

    @property
    def remedy(self) -> StrOrPromise:
        if self.fault:
            return self.fault
        if self.pause is not None:
            return REMEDIES.get(self.pause.reason, "")
        if self.is_late:
            return _(
                "Is a worker running, does it read the queue, and is beat running? "
                "connectly_doctor says so; connectly_deliver sends without them."
            )
        return ""

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Their names and values, for the page."""
        found = [
            (_("Waiting"), str(self.waiting)),
            (_("Due now"), str(self.due)),
            (_("Due since"), clock(self.oldest_due)),
            (_("Last delivered"), clock(self.delivered_at)),
        ]
        if self.pause is not None:
            found.append((_("Next try"), clock(self.pause.paused_until)))
        if self.days_left is not None:
            found.append((_("Time left for what waits"), self.days_left))
        return found

    @property
    def days_left(self) -> str | None:
        """Until the oldest that waits is too old to be sent."""
        limit = conf.MAX_EVENT_AGE
        if self.oldest_event is None or limit is None:
            return None
        left = self.oldest_event + limit - timezone.now()
        days, hours = divmod(max(int(left.total_seconds() // 3600), 0), 24)
        parts = (
            ngettext("%(count)d day", "%(count)d days", days) % {"count": days},
            ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours},
        )
        return ", ".join(parts)


def businesses() -> list[Business]:
    """Those of the settings, and those that still have something waiting."""
    aliases = list(conf.BUSINESSES)
    waiting: dict[str, Any] = {
        found["business"]: found
        for found in Conversion.objects.filter(due_at__isnull=False)
        .order_by()
        .values("business")
        .annotate(count=Count("pk"), event=Min("event_time"))
    }
    due: dict[str, Any] = {
        found["business"]: found
        for found in Conversion.objects.filter(due_at__lte=DbNow())
        .order_by()
        .values("business")
        .annotate(count=Count("pk"), since=Min("due_at"))
    }
    pauses = Circuit.objects.exclude(paused_until=None).in_bulk()
    aliases += sorted({*waiting, *pauses} - {*aliases})
    return [
        Business(
            alias=alias,
            waiting=waiting.get(alias, {}).get("count", 0),
            due=due.get(alias, {}).get("count", 0),
            oldest_due=due.get(alias, {}).get("since"),
            oldest_event=waiting.get(alias, {}).get("event"),
            delivered_at=_last_delivered(alias),
            pause=pauses.get(alias),
            fault=_fault(alias),
        )
        for alias in aliases
    ]


def _fault(alias: str) -> str:
    try:
        conf.business(alias)
    except ImproperlyConfigured as exc:
        return str(exc)
    return ""


def _last_delivered(business: str) -> datetime | None:
    """Among the newest rows, which an index finds."""
    rows = Conversion.objects.filter(business=business, state=State.DELIVERED)
    newest = rows.order_by("-recorded_at").values_list("delivered_at", flat=True)
    return max((at for at in newest[:RECENT] if at is not None), default=None)


class StatusView(TemplateView):
    template_name = "admin/connectly_tracking/conversion/status.html"
    model_admin: Any = None

    def dispatch(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        if not self.model_admin.has_view_permission(request):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found, sends, problem = list[Business](), True, ""
        try:
            sends, found = conf.SEND, businesses()
            for name in (*READ_HERE, *READ_BY_WORKERS):
                getattr(conf, name)
        except ImproperlyConfigured as exc:
            found, problem = [], str(exc)
        return {
            **super().get_context_data(**kwargs),
            **self.model_admin.admin_site.each_context(self.request),
            "title": gettext_lazy("Delivery"),
            "crumbs_are_listed": CRUMBS_ARE_LISTED,
            "opts": Conversion._meta,
            "media": self.model_admin.media,
            "businesses": found,
            "sends": sends,
            "problem": problem,
            "checked_at": clock(timezone.now()),
        }
