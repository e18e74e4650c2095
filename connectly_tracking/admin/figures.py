"""The filters to which the figures of the campaigns page lead."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.contrib import admin
from django.db.models import Q
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from ..models import CampaignName, IsText, moment
from ..reports.campaigns import FIGURES, clicked_late, repeated, with_click

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django_stubs_ext import StrOrPromise

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
        return _midnight(self.first)

    @property
    def until(self) -> datetime:
        """The first moment after them."""
        return _midnight(self.last + timedelta(days=1))

    @property
    def before(self) -> Days:
        """As many days, up to the day before the first."""
        day = timedelta(days=1)
        return Days(self.first - (self.last - self.first) - day, self.first - day)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), timezone.get_default_timezone())


class LinkedFilter(admin.SimpleListFilter):
    """A filter that is shown only once a link has used it."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        value = self.used_parameters.get(self.parameter_name or "")
        value = value[-1] if isinstance(value, list) else value
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
