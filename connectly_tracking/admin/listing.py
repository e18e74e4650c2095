"""What a list of orders is filtered by, its sums, and the list as a CSV file."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db.models import Count, Exists, OuterRef, Q
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..models import WAITING, DeliveryAttempt, EventName, greatest_age
from ..reports.expressions import ExactSum, sum_of
from .display import csv_response
from .earnings import count, money_list
from .filters import PlacedFilter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
    from django.urls import URLPattern
    from django_stubs_ext import StrOrPromise

    from ..models import Conversion

#: The columns of the CSV file; the names stay the same in every language.
_LIST_COLUMNS: Final = (
    "order_id",
    "event_name",
    "business",
    "event_time",
    "value",
    "currency",
    "state",
    "reason",
    "detail",
    "sendout_id",
    "ad_id",
    "clicked_at",
    "recorded_at",
    "attempts",
    "delivered_at",
    "cancelled_at",
)
#: An order that has less time left is soon too old to be sent.
SOON: Final = timedelta(days=1)
#: Answers that are worth a filter.
STATUS_CODES: Final = (400, 401, 403, 404, 408, 429, 500, 502, 503, 504)
TRIES: Final = {
    "0": Q(attempts=0),
    "1": Q(attempts=1),
    "2-4": Q(attempts__range=(2, 4)),
    "5-": Q(attempts__gte=5),
}


class TimeLeftFilter(admin.SimpleListFilter):
    title = _("time left")
    parameter_name = "left"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("soon", _("Expires in less than a day")),
            ("any", _("All waiting orders")),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() not in {"any", "soon"}:
            return queryset
        waiting = queryset.filter(state__in=WAITING)
        if self.value() == "any":
            return waiting
        try:
            return waiting.older_than(greatest_age() - SOON)
        except ImproperlyConfigured:
            return waiting  # the delivery page shows the error


class TriesFilter(admin.SimpleListFilter):
    title = _("attempts")
    parameter_name = "tries"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("0", "0"),
            ("1", "1"),
            ("2-4", "2\N{EN DASH}4"),
            ("5-", _("5 or more")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(TRIES.get(self.value() or "", Q()))


class AnswerFilter(admin.SimpleListFilter):
    """Those that had this answer at any attempt."""

    title = _("answer status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = [(str(code), str(code)) for code in STATUS_CODES]
        return [*found, ("none", _("no answer"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if (value := self.value()) is None:
            return queryset
        attempts = DeliveryAttempt.objects.filter(conversion=OuterRef("pk"))
        if value == "none":
            attempts = attempts.filter(status_code=None, finished_at__isnull=False)
        elif value in map(str, STATUS_CODES):
            attempts = attempts.filter(status_code=int(value))
        else:
            return queryset
        return queryset.filter(Exists(attempts))


class Chosen(NamedTuple):
    """A filter in use; ``url`` is the list without it."""

    title: StrOrPromise
    value: StrOrPromise
    url: str


class ListingMixin:
    """For the list of conversions: says what it shows, adds it up, exports it."""

    has_view_permission: Any
    get_changelist_instance: Any
    admin_site: Any
    _refuse_junk: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.csv_view)
        ours = path("csv/", view, name="connectly_tracking_conversion_csv")
        return [ours, *super().get_urls()]  # type: ignore[misc]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response: HttpResponse = super().changelist_view(  # type: ignore[misc]
            request, extra_context
        )
        context: dict[str, Any] = getattr(response, "context_data", None) or {}
        if "cl" in context:
            chosen = list(_chosen(context["cl"]))
            context["chosen_filters"] = chosen
            context["sums"] = _sums(context["cl"]) if chosen else None
        return response

    def csv_view(
        self, request: HttpRequest
    ) -> StreamingHttpResponse | HttpResponseRedirect:
        """The whole list as it is filtered, not only a page of it. What the list
        refuses, this refuses alike.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        self._refuse_junk(request)
        try:
            changes = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            url = reverse("admin:connectly_tracking_conversion_changelist")
            return HttpResponseRedirect(f"{url}?{ERROR_FLAG}=1")
        rows = changes.queryset.only(*_LIST_COLUMNS)
        cells = (
            [getattr(row, name) for name in _LIST_COLUMNS]
            for row in rows.iterator(chunk_size=2000)
        )
        today = datetime.now(timezone.get_default_timezone()).date()
        return csv_response(f"conversions-{today}.csv", _LIST_COLUMNS, cells)


def _chosen(changes: Any) -> Iterator[Chosen]:
    for used in changes.filter_specs:
        if not (
            parameters := [
                it
                for it in used.expected_parameters()
                if it in changes.params or it in changes.filter_params
            ]
        ):
            continue
        # The first choice is the one for all.
        for number, choice in enumerate(used.choices(changes)):
            if number and choice["selected"]:
                url = changes.get_query_string(remove=parameters)
                yield Chosen(used.title, choice["display"], url)


def _sums(changes: Any) -> dict[str, Any] | None:
    """Return the number of orders and their money; None if it would take too long."""
    if (
        changes.paginator.is_cut
        and PlacedFilter.parameter_name not in changes.filter_params
    ):
        return None
    rows = changes.queryset.filter(event_name=EventName.PURCHASE).order_by()
    groups = rows.values("currency").annotate(
        count=Count("pk"), amount=ExactSum("value")
    )
    found = list(groups)
    money = {
        it["currency"]: sum_of(it["amount"])
        for it in found
        if it["currency"] and it["amount"] is not None
    }
    return {
        "count": count(sum(it["count"] for it in found)),
        "money": money_list(money) if money else [],
    }


def time_left(conversion: Conversion) -> timedelta | None:
    """How long a waiting order may still be sent, or None."""
    try:
        until = conversion.expires_at if conversion.state in WAITING else None
    except ImproperlyConfigured:
        return None  # the delivery page shows the error
    return None if until is None else max(until - timezone.now(), timedelta())
