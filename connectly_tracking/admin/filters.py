"""Filters that ask the settings and the code for their choices, not the table."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from ..models import Reason, State

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django_stubs_ext import StrOrPromise

    from ..models import Conversion


#: Whose reasons they are; all others are of what is skipped.
_STATES: Final[dict[str, State]] = {
    Reason.EXPIRED: State.EXPIRED,
    Reason.REFUSED: State.REJECTED,
    Reason.UNCONFIRMED: State.REJECTED,
    Reason.INTERNAL: State.REJECTED,
}


class ReasonFilter(admin.SimpleListFilter):
    """The reasons by their sentences; which of them occur would cost a scan."""

    title = _("reason")
    parameter_name = "reason"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> list[tuple[str, StrOrPromise]]:
        return list(Reason.choices)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Conversion]
    ) -> QuerySet[Conversion]:
        reason = self.value()
        if not reason:
            return queryset
        # The state leads to an index; a rare reason alone would cost a scan, too.
        state = _STATES.get(reason, State.SKIPPED)
        return queryset.filter(reason=reason, state=state)


class BusinessFilter(admin.SimpleListFilter):
    """Only where there are several."""

    title = _("business")
    parameter_name = "business"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> list[tuple[str, StrOrPromise]]:
        try:
            aliases = list(conf.BUSINESSES)
        except ImproperlyConfigured:
            return []  # the delivery page says so
        return [(alias, alias) for alias in aliases] if len(aliases) > 1 else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(business=self.value()) if self.value() else queryset


class PeriodFilter(admin.SimpleListFilter):
    """By the day on which it was recorded: a day, a month, or the last few days."""

    title = _("recorded")
    parameter_name = "when"
    field = "recorded_at"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> list[tuple[str, StrOrPromise]]:
        found: list[tuple[str, StrOrPromise]] = [
            ("today", _("Today")),
            ("yesterday", _("Yesterday")),
            ("7", _("Past 7 days")),
            ("30", _("Past 30 days")),
        ]
        chosen = self.used_parameters.get(self.parameter_name, "")
        if isinstance(chosen, list):
            chosen = chosen[-1]
        period = period_of(chosen)
        if period and chosen not in dict(found):
            found.append((chosen, period.name))
        return found

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        period = period_of(self.value() or "")
        if period is None:
            return queryset
        return queryset.filter(
            **{f"{self.field}__gte": period.begins, f"{self.field}__lt": period.ends}
        )


class CapturedFilter(PeriodFilter):
    title = _("captured")
    field = "captured_at"


class Period(NamedTuple):
    """``begins`` and ``ends`` as the models hold times; the end is not in it."""

    name: str
    begins: datetime
    ends: datetime


def period_of(text: str) -> Period | None:
    """Of ``2026-11``, ``2026-11-22``, ``today``, ``yesterday``, ``7`` or ``30`` (days
    until tonight); None for anything else.
    """
    day = timedelta(days=1)
    match text:
        case "today":
            return _period(today(), today() + day)
        case "yesterday":
            return _period(today() - day, today())
        case "7" | "30":
            return _period(today() - int(text) * day, today() + day)
    try:
        first = date.fromisoformat(f"{text}-01" if len(text) == 7 else text)
    except ValueError:
        return None
    if not 2000 <= first.year < 9999:  # what a database may not hold in UTC
        return None
    if len(text) == 7:
        return _period(first, month_after(first), "YEAR_MONTH_FORMAT")
    return _period(first, first + day)


def today() -> date:
    return day_of(timezone.now())


def day_of(at: datetime) -> date:
    """In the current time zone, as the lists show times."""
    return (timezone.localtime(at) if timezone.is_aware(at) else at).date()


def month_after(first: date) -> date:
    return (first.replace(day=1) + timedelta(days=32)).replace(day=1)


def _period(first: date, last: date, how: str = "DATE_FORMAT") -> Period:
    return Period(date_format(first, how), _midnight(first), _midnight(last))


def _midnight(day: date) -> datetime:
    at = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - made aware below
    return timezone.make_aware(at) if timezone.is_aware(timezone.now()) else at
