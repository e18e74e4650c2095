"""Links to months and days above a list.

A date hierarchy of Django's asks the table which there are, on each page.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.formats import date_format

from ..conf import conf
from .filters import PeriodFilter, day_of, month_after, period_of, today

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class Link(NamedTuple):
    """``name`` is short; ``whole`` is read out."""

    name: str
    whole: str
    url: str
    is_chosen: bool


class Dated:
    """For a list that has a `PeriodFilter`."""

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


def _links(changes: Any, dates: list[date], how: str, chosen: str) -> list[Link]:
    found = []
    for day in dates:
        is_month = how == "Y-m"
        value = date_format(day, how)
        whole = date_format(day, "YEAR_MONTH_FORMAT" if is_month else "DATE_FORMAT")
        url = changes.get_query_string({PeriodFilter.parameter_name: value}, ["p"])
        name = whole if is_month else str(day.day)
        found.append(Link(name, whole, url, value == chosen))
    return found


def _months() -> list[date]:
    """Those of which something may still be kept, the newest first."""
    found = list[date]()
    try:
        first = day_of(timezone.now() - conf.RETENTION).replace(day=1)
    except ImproperlyConfigured:
        first = today().replace(day=1)  # the delivery page says so
    while first <= today():
        found.append(first)
        first = month_after(first)
    return found[:-25:-1]


def _days(text: str) -> list[date]:
    """Of the month in which that period begins; none for what is no month or day."""
    if len(text) < 7 or (period := period_of(text)) is None:
        return []
    first = day_of(period.begins).replace(day=1)
    count = (month_after(first) - first).days
    days = [first + timedelta(days=number) for number in range(count)]
    return [day for day in days if day <= today()]
