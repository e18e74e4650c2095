"""The campaigns page with its chart, and the names of campaigns and ads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from ..models import UPSTREAM, Campaign, CampaignName
from ..reports.campaigns import CampaignReport
from .display import ad_id, campaign_id, csv_response
from .earnings import SHOWN_UPSTREAM, Earnings, count
from .filters import Days
from .readonly import ReadOnlyAdmin, StrictAdmin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
    from django.urls import URLPattern
    from django_stubs_ext import StrOrPromise

    from ..reports.campaigns import CampaignRow

GROUPS: Final[dict[str, StrOrPromise]] = {
    "campaign": _("Campaign"),
    "ad": _("Ad"),
    "day": _("Day"),
    "page": _("Landing page"),
    "business": _("Business"),
}
#: The lengths of the periods that end today, in days.
LENGTHS: Final = (7, 28, 30, 90)
DEFAULT_LENGTH: Final = 30
MAX_ROWS: Final = 500  # more would make the page too long; the CSV has them all

HEIGHT: Final = 160
WIDTH: Final = 920
#: A longer period is drawn by weeks.
MAX_BARS: Final = 100


def _counted(name: str) -> Callable[[CampaignName], str]:
    """Return a column of what Connectly counted, as the language writes numbers."""
    field: Any = CampaignName._meta.get_field(name)

    @admin.display(description=field.verbose_name, ordering=name)
    def shown(named: CampaignName) -> str:
        return count(getattr(named, name))

    shown.__name__ = name
    return shown


@admin.register(CampaignName)
class CampaignNameAdmin(StrictAdmin):
    sortable_by: ClassVar[Any] = [*map(_counted, SHOWN_UPSTREAM)]
    list_display = ["short_id", "kind", "name", *sortable_by]
    list_editable = ["name"]
    list_filter = ["kind"]
    search_fields = ["id__exact", "name"]
    fields = ["id", "kind", "name", *UPSTREAM]
    Media = ReadOnlyAdmin.Media

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, title | (extra_context or {}))

    def formfield_for_dbfield(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """In the list the head of the column is all that names the field."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "name" and field is not None:
            field.widget.attrs["aria-label"] = capfirst(db_field.verbose_name)
        return field

    @admin.display(description=_("id"))
    def short_id(self, named: CampaignName) -> StrOrPromise:
        is_ad = named.kind == CampaignName.Kind.AD
        return ad_id(named.pk) if is_ad else campaign_id(named.pk)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["id"] if obj else []


@admin.register(Campaign)
class CampaignAdmin(ReadOnlyAdmin):
    """The report stands where other models have their list."""

    def get_urls(self) -> list[URLPattern]:
        """No campaign has a page of its own."""
        view = self.admin_site.admin_view
        name = "connectly_tracking_campaign"
        return [
            path("", view(self.changelist_view), name=f"{name}_changelist"),
            path("csv/", view(self.csv_view), name=f"{name}_csv"),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        question = Question(request)
        rows = question.report.rows(question.by, detailed=True)
        days = question.report.days()
        earnings = Earnings(
            rows,
            days,
            clicks_before=question.report.before.clicks().count(),
            # A click has one campaign, but orders of several days.
            buyers=question.report.buyers() if question.by == "day" else None,
        )
        context: dict[str, Any] = {
            **self.page_context(request, _("Campaigns")),
            **(extra_context or {}),
            "question": question,
            "earnings": earnings,
            "figures": list(earnings.figures(question)),
            "whole": earnings.whole(question),
            "lost": list(earnings.lost(question)),
            "chart": Chart(question.days, days),
            "lines": earnings.lines(question, rows[:MAX_ROWS]),
            "more": max(len(rows) - MAX_ROWS, 0),
            "may_name": request.user.has_perm("connectly_tracking.change_campaignname"),
        }
        template = "admin/connectly_tracking/campaign/report.html"
        return TemplateResponse(request, template, context)

    def csv_view(self, request: HttpRequest) -> StreamingHttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        question = Question(request)
        rows = question.report.rows(question.by, detailed=True)
        name = f"{question.by}-{question.days.first}-{question.days.last}.csv"
        return csv_response(name, *Earnings(rows).table(question.by))


class Question:
    """What the page is asked for, read from its address. What is wrong is ignored."""

    def __init__(self, request: HttpRequest) -> None:
        # PostgreSQL takes no NUL, not even to compare.
        self.given = {
            name: str(text).replace("\0", "\ufffd")
            for name, text in request.GET.items()
        }
        by = self.given.get("by", "")
        self.by = by if by in GROUPS else "campaign"
        self.today = datetime.now(timezone.get_default_timezone()).date()
        self.period, self.days = self._period(self.given.get("period", ""))
        self.business = self.given.get("business") or None
        self.campaign = self.given.get("campaign")
        self.report = CampaignReport(
            self.days.since, self.days.until, self.business, self.campaign
        )

    def _period(self, text: str) -> tuple[str, Days]:
        first, last = self.given.get("from", ""), self.given.get("to", "")
        if (first or last) and (days := Days.read(f"{first or last}..{last or first}")):
            return "", days
        if text == "today":
            return text, Days(self.today, self.today)
        if text in map(str, LENGTHS):
            return text, self._last(int(text))
        if len(text) == 7 and (days := Days.read(f"{text}-01..{text}-01")):
            following = (days.first + timedelta(days=32)).replace(day=1)
            return text, Days(days.first, following - timedelta(days=1))
        return str(DEFAULT_LENGTH), self._last(DEFAULT_LENGTH)

    def _last(self, length: int) -> Days:
        return Days(self.today - timedelta(days=length - 1), self.today)

    @property
    def group(self) -> StrOrPromise:
        return GROUPS[self.by]

    @property
    def campaign_name(self) -> str:
        if self.campaign is None:
            return ""
        named = CampaignName.objects.filter(pk=self.campaign).first()
        return named.name if named else self.campaign or gettext("(none)")

    def url(self, **changes: str | None) -> str:
        """The address of the page with other answers; None takes one out."""
        return f"?{urlencode(self._kept(**changes))}"

    @property
    def all_url(self) -> str:
        return self.url(by="campaign", campaign=None)

    @property
    def csv_url(self) -> str:
        url = reverse("admin:connectly_tracking_campaign_csv")
        return f"{url}?{urlencode(self._kept())}"

    def _kept(self, **changes: str | None) -> dict[str, str]:
        dates = {} if self.period else {"from": self.days.first, "to": self.days.last}
        kept = {
            "period": self.period or None,
            **{name: day.isoformat() for name, day in dates.items()},
            "by": self.by,
            "business": self.business,
            "campaign": self.campaign,
        } | changes
        return {name: value for name, value in kept.items() if value is not None}

    @property
    def periods(self) -> Iterator[tuple[StrOrPromise, str, bool]]:
        """Name, address, and whether it is chosen."""
        names: dict[str, StrOrPromise] = {"today": _("Today")}
        for length in LENGTHS:
            names[str(length)] = gettext("%(count)d days") % {"count": length}
        month = self.today.replace(day=1)
        for first in ((month - timedelta(days=1)).replace(day=1), month):
            names[f"{first:%Y-%m}"] = date_format(first, "YEAR_MONTH_FORMAT")
        for value, name in names.items():
            url = self.url(**{"period": value, "from": None, "to": None})
            yield name, url, value == self.period

    @property
    def groups(self) -> Iterator[tuple[StrOrPromise, str, bool]]:
        for by, name in GROUPS.items():
            if by != "business" or len(self._aliases) > 1:
                yield name, self.url(by=by), by == self.by

    @property
    def businesses(self) -> list[tuple[StrOrPromise, str, bool]]:
        """Empty if the settings name only one."""
        if len(self._aliases) < 2:
            return []
        every = (_("All"), self.url(business=None), self.business is None)
        return [
            every,
            *(
                (alias, self.url(business=alias), alias == self.business)
                for alias in self._aliases
            ),
        ]

    @property
    def _aliases(self) -> list[str]:
        try:
            return list(conf.BUSINESSES)
        except ImproperlyConfigured:
            return []  # the delivery page shows the error

    def orders_url(self, figure: str = "", **more: str) -> str:
        """The list of exactly the orders that a figure counts."""
        chosen = {"figure": figure, "placed": str(self.days), **self._where()} | more
        url = reverse("admin:connectly_tracking_conversion_changelist")
        return f"{url}?{urlencode(chosen)}"

    def clicks_url(self, **more: str) -> str:
        chosen = {"clicked": str(self.days), **self._where()} | more
        url = reverse("admin:connectly_tracking_attribution_changelist")
        return f"{url}?{urlencode(chosen)}"

    def _where(self) -> dict[str, str]:
        chosen = {"business": self.business, "sendout_id": self.campaign}
        return {name: value for name, value in chosen.items() if value is not None}

    def row_filter(self, key: str) -> dict[str, str]:
        """What the lists are filtered by for a row of the table."""
        match self.by:
            case "day":
                day = date.fromisoformat(key)
                return dict.fromkeys(("placed", "clicked"), f"{day}..{day}")
            case "page":
                return {"landing": key}
            case "business":
                return {"business": key}
        return {"sendout_id" if self.by == "campaign" else "ad_id": key}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One day, or one week. Lengths are in units of the drawing."""

    name: str
    label: str
    x: float
    width: float
    confirmed: int
    waiting: int
    unreported: int
    scale: float

    @property
    def parts(self) -> list[tuple[str, float, float]]:
        """Kind, y and height, from the bottom up."""
        found, top = [], float(HEIGHT)
        for kind in ("confirmed", "waiting", "unreported"):
            height = getattr(self, kind) * self.scale
            if height:
                top -= height
                found.append((kind, round(top, 1), round(height, 1)))
        return found

    @property
    def middle(self) -> float:
        return round(self.x + self.width / 2, 1)


class Chart:
    """Bars of the orders with a click: confirmed, waiting, not reported."""

    width, height = WIDTH, HEIGHT

    def __init__(self, days: Days, rows: Mapping[str, CampaignRow]) -> None:
        self.days, self._rows = days, rows
        length = (days.last - days.first).days + 1
        self.step = 1 if length <= MAX_BARS else 7 * -(-length // (7 * MAX_BARS))
        counts = [*self._counts()]
        self.most = max((sum(found) for _day, found in counts), default=0)
        self.top = _round_up(self.most)
        room = WIDTH / max(len(counts), 1)
        every = -(-len(counts) // 8)
        self.bars = [
            Bar(
                name=date_format(day),
                label=date_format(day, "MONTH_DAY_FORMAT") if not n % every else "",
                x=round(n * room + room * 0.1, 1),
                width=round(min(room * 0.8, 60), 1),
                confirmed=found[0],
                waiting=found[1],
                unreported=found[2],
                scale=(HEIGHT - 8) / max(self.top, 1),
            )
            for n, (day, found) in enumerate(counts)
        ]

    @property
    def lines(self) -> list[tuple[int, float]]:
        """The value and the y of each line across."""
        values = [self.top, self.top // 2] if self.top > 1 else [self.top]
        scale = (HEIGHT - 8) / max(self.top, 1)
        return [(value, round(HEIGHT - value * scale, 1)) for value in values if value]

    def _counts(self) -> Iterator[tuple[date, tuple[int, int, int]]]:
        day = self.days.first
        while day <= self.days.last:
            found = [
                self._rows[key]
                for ahead in range(self.step)
                if (key := (day + timedelta(days=ahead)).isoformat()) in self._rows
            ]
            yield (
                day,
                (
                    sum(row.confirmed for row in found),
                    sum(row.waiting for row in found),
                    sum(count for row in found for count, _ in row.unreported.values()),
                ),
            )
            day += timedelta(days=self.step)


def _round_up(most: int) -> int:
    """Return an even, round number that is not less."""
    step = 1
    while most > 10 * step:
        step *= 10
    round_numbers = (n * step for n in (2, 3, 4, 5, 6, 8, 10))
    return next(n for n in round_numbers if n >= most and n % 2 == 0)
