"""Filters, date links and searches of the lists.

The choices of a filter come from the settings, not from the table. Others are shown
only once a figure of the campaigns page has led to them.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Q
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from ..models import CampaignName, IsText, Reason, State, local_time, moment
from ..reports.campaigns import FIGURES, clicked_late, repeated, with_click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django_stubs_ext import StrOrPromise

    from ..models import Attribution, Conversion

    Choices = list[tuple[str, StrOrPromise]]

#: More months than two years would crowd the page.
MAX_MONTHS: Final = 24
#: The states to which these reasons belong; all others belong to "skipped".
_STATES: Final[dict[str, State]] = {
    Reason.EXPIRED: State.EXPIRED,
    Reason.REFUSED: State.REJECTED,
    Reason.UNCONFIRMED: State.REJECTED,
    Reason.INTERNAL: State.REJECTED,
}


class ReasonFilter(admin.SimpleListFilter):
    """Every reason, since finding those that occur would read the whole table."""

    title = _("reason")
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return list(Reason.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (reason := self.value()):
            return queryset
        # The state has an index, the reason has none.
        state = _STATES.get(reason, State.SKIPPED)
        return queryset.filter(reason=reason, state=state)


def _used(chosen: admin.SimpleListFilter) -> str | None:
    """Return the filter's value in the address, before its choices are known."""
    value = chosen.used_parameters.get(str(chosen.parameter_name))
    return value[-1] if isinstance(value, list) else value


class BusinessFilter(admin.SimpleListFilter):
    """Shown only if the settings name several businesses, or a link has used it."""

    title = _("business")
    parameter_name = "business"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        try:
            aliases = list(conf.BUSINESSES)
        except ImproperlyConfigured:
            aliases = []  # the delivery page shows the error
        if len(aliases) == 1:
            aliases = []
        if (used := _used(self)) and used not in aliases:
            aliases.append(used)
        return [(alias, alias) for alias in aliases]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(business=self.value()) if self.value() else queryset


class PeriodFilter(admin.SimpleListFilter):
    """A day, a month or the last few days."""

    title = _("date recorded")
    parameter_name = "when"
    column = "recorded_at"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        found: Choices = [
            ("today", _("Today")),
            ("yesterday", _("Yesterday")),
            ("7", _("Past 7 days")),
            ("30", _("Past 30 days")),
        ]
        chosen = _used(self) or ""
        period = period_of(chosen)
        if period and chosen not in dict(found):
            found.append((chosen, period.name))
        return found

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if (period := period_of(self.value() or "")) is None:
            return queryset
        return queryset.filter(
            **{f"{self.column}__gte": period.begins, f"{self.column}__lt": period.ends}
        )


class CapturedFilter(PeriodFilter):
    title = _("date captured")
    column = "captured_at"


class Period(NamedTuple):
    """Half open: ``ends`` is the first moment after it. Times as the models hold them.

    ``first`` is the day on which it begins.
    """

    name: str
    first: date
    begins: datetime
    ends: datetime


def period_of(text: str) -> Period | None:
    """Return the period of ``2026-11``, ``2026-11-22``, ``today``, ``yesterday``, ``7``
    or ``30`` (days, today included); None for any other text.
    """
    today, day = _day_of(timezone.now()), timedelta(days=1)
    match text:
        case "today":
            return _period(today, today + day)
        case "yesterday":
            return _period(today - day, today)
        case "7" | "30":
            return _period(today - int(text) * day, today + day)
    try:
        first = date.fromisoformat(f"{text}-01" if len(text) == 7 else text)
    except ValueError:
        return None
    if not 2000 <= first.year < 9999:  # a database may not hold others in UTC
        return None
    if len(text) == 7:
        return _period(first, _month_after(first), "YEAR_MONTH_FORMAT")
    return _period(first, first + day)


def _period(first: date, last: date, how: str = "DATE_FORMAT") -> Period:
    return Period(date_format(first, how), first, _midnight(first), _midnight(last))


def _midnight(day: date) -> datetime:
    at = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - made aware below
    return timezone.make_aware(at) if timezone.is_aware(timezone.now()) else at


def _day_of(at: datetime) -> date:
    """Return the day in the current time zone, in which the lists show times."""
    return local_time(at).date()


def _month_after(first: date) -> date:
    return (first.replace(day=1) + timedelta(days=32)).replace(day=1)


class DateLink(NamedTuple):
    """``name`` is shown, ``full_name`` is read aloud."""

    name: str
    full_name: str
    url: str
    is_chosen: bool


class DateLinksMixin:
    """Links to months and days above a list that has a `PeriodFilter`.

    Django's ``date_hierarchy`` would ask the table on each page.
    """

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response: HttpResponse = super().changelist_view(  # type: ignore[misc]
            request, extra_context
        )
        context: dict[str, Any] = getattr(response, "context_data", None) or {}
        if "cl" in context:
            chosen = request.GET.get(PeriodFilter.parameter_name, "")
            context["months"] = _links(context["cl"], _months(), "Y-m", chosen)
            context["days"] = _links(context["cl"], _days(chosen), "Y-m-d", chosen)
        return response


def _links(changes: Any, dates: list[date], how: str, chosen: str) -> list[DateLink]:
    found = []
    for day in dates:
        is_month = how == "Y-m"
        value = date_format(day, how)
        full_name = date_format(day, "YEAR_MONTH_FORMAT" if is_month else "DATE_FORMAT")
        name = full_name if is_month else str(day.day)
        url = changes.get_query_string({PeriodFilter.parameter_name: value}, ["p"])
        found.append(DateLink(name, full_name, url, value == chosen))
    return found


def _months() -> list[date]:
    """Return the months of which rows may still be kept, the newest first."""
    today = _day_of(timezone.now())
    try:
        month = _day_of(timezone.now() - conf.RETENTION).replace(day=1)
    except ImproperlyConfigured:
        month = today.replace(day=1)  # the delivery page shows the error
    found = list[date]()
    while month <= today:
        found.append(month)
        month = _month_after(month)
    return found[: -MAX_MONTHS - 1 : -1]


def _days(text: str) -> list[date]:
    """Return the days of the month in which that month or day is; else none."""
    if len(text) < 7 or (period := period_of(text)) is None:
        return []
    today, first = _day_of(timezone.now()), period.first.replace(day=1)
    days = [first + timedelta(days=number) for number in range(31)]
    return [day for day in days if day.month == first.month and day <= today]


#: Figures that are orders, as the list calls them.
FIGURE_NAMES: Final[dict[str, StrOrPromise]] = {
    "orders": _("orders credited to a click"),
    "confirmed": _("reported to Connectly"),
    "waiting": _("waiting to be reported"),
    "unreported": _("not reported, with a click"),
    "repeats": _("from customers who had bought before"),
    "late": _("clicked more than 7 days before the order"),
}
#: What a link can ask for cannot be older or newer.
_YEARS: Final = range(2000, 2200)


class Days(NamedTuple):
    """Days of the shop's time zone; both are included."""

    first: date
    last: date

    @classmethod
    def read(cls, text: str) -> Days | None:
        """Read ``2026-11-01..2026-11-30``; None if it is not two days in order."""
        try:
            first, last = map(date.fromisoformat, text.split(".."))
        except ValueError:
            return None
        known = first.year in _YEARS and last.year in _YEARS
        return cls(first, last) if known and first <= last else None

    def __str__(self) -> str:
        return f"{self.first.isoformat()}..{self.last.isoformat()}"

    @property
    def name(self) -> str:
        first, last = date_format(self.first), date_format(self.last)
        return first if first == last else f"{first} \N{EN DASH} {last}"

    @property
    def since(self) -> datetime:
        return _midnight_of_shop(self.first)

    @property
    def until(self) -> datetime:
        """The first moment after them."""
        return _midnight_of_shop(self.last + timedelta(days=1))

    @property
    def before(self) -> Days:
        """As many days, up to the day before the first."""
        day = timedelta(days=1)
        return Days(self.first - (self.last - self.first) - day, self.first - day)


def _midnight_of_shop(day: date) -> datetime:
    return datetime.combine(day, time(), timezone.get_default_timezone())


class LinkedFilter(admin.SimpleListFilter):
    """A filter that is shown only once a link has used it."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        value = _used(self)
        return [] if value is None else [(value, self.name_of(value))]

    def name_of(self, value: str) -> StrOrPromise:
        return value or _("(none)")


class PlacedFilter(LinkedFilter):
    title = _("order placed")
    parameter_name = "placed"
    column = "event_time"

    def name_of(self, value: str) -> StrOrPromise:
        days = Days.read(value)
        return days.name if days else value

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (days := Days.read(self.value() or "")):
            return queryset
        begins, ends = (moment(at.timestamp()) for at in (days.since, days.until))
        return queryset.filter(
            **{f"{self.column}__gte": begins, f"{self.column}__lt": ends}
        )


class ClickedFilter(PlacedFilter):
    title = _("clicked")
    parameter_name = "clicked"
    column = "captured_at"


class FigureFilter(LinkedFilter):
    title = _("campaign figures")
    parameter_name = "figure"

    def name_of(self, value: str) -> StrOrPromise:
        return FIGURE_NAMES.get(value, value)

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        figure = self.value() or ""
        if figure not in FIGURE_NAMES:
            return queryset
        rows = with_click(queryset).filter(FIGURES.get(figure, FIGURES["orders"]))
        if figure == "repeats":
            rows = repeated(rows)
        return clicked_late(rows) if figure == "late" else rows


class LandingFilter(LinkedFilter):
    """The page of the click, which the order has not got itself."""

    title = _("landing page")
    parameter_name = "landing"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset if value is None else queryset.filter(page=value)


class OrderLandingFilter(LandingFilter):
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if (value := self.value()) is None:
            return queryset
        landed = Q(attribution__page=value)
        # A click that was deleted took its page along.
        return queryset.filter(landed if value else landed | Q(attribution=None))


class NamedFilter(LinkedFilter):
    """A campaign or an ad by its id; the filter says its name."""

    def name_of(self, value: str) -> StrOrPromise:
        named = CampaignName.objects.filter(pk=value).first()
        return f"{named.name} ({value})" if named else super().name_of(value)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        return queryset.filter(IsText(str(self.parameter_name), value))


class CampaignFilter(NamedFilter):
    title = _("campaign")
    parameter_name = "sendout_id"


class AdFilter(NamedFilter):
    title = _("ad")
    parameter_name = "ad_id"


CAMPAIGN_IDS: Final = ("sendout_id", "ad_id")
CLICK_IDS: Final = ("ctwa_clid", "cnct_tracking_id")


def ids(term: str, names: Sequence[str]) -> Iterator[Q]:
    return (Q(IsText(name, term)) for name in names)


def any_of(model: type[Attribution | Conversion], *conditions: Q) -> Q | None:
    """Return the condition that any of these holds, or None if none does for any row.

    Those that hold for no row are left out, and that is looked up one by one: each has
    its index, but for all of them in one statement a database reads the whole table.
    """
    rows = model._default_manager
    held = [it for it in conditions if rows.filter(it).exists()]
    return Q(*held, _connector=Q.OR) if held else None
