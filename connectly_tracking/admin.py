"""What was captured and what became of every order, to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from .models import Attribution, Circuit, Conversion, DeliveryAttempt, Reason, key_of

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django_stubs_ext import StrOrPromise

    AttemptInline = admin.TabularInline[DeliveryAttempt, Conversion]
    ConversionModelAdmin = admin.ModelAdmin[Conversion]
    AttributionModelAdmin = admin.ModelAdmin[Attribution]
    CircuitModelAdmin = admin.ModelAdmin[Circuit]
else:
    AttemptInline = admin.TabularInline
    ConversionModelAdmin = AttributionModelAdmin = CircuitModelAdmin = admin.ModelAdmin


class _Logbook:
    """Nothing here is written by hand."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class DeliveryAttemptInline(_Logbook, AttemptInline):
    model = DeliveryAttempt
    fields = ["started_at", "finished_at", "outcome", "status_code", "detail"]
    readonly_fields = ["started_at", "finished_at", "outcome", "status_code", "detail"]
    extra = 0
    can_delete = False


@admin.register(Attribution)
class AttributionAdmin(_Logbook, AttributionModelAdmin):
    list_display = [
        "captured_at",
        "sendout_id",
        "ad_id",
        "reportable",
        "refused",
        "user",
        "business",
    ]
    list_filter = ["reportable", "business"]
    list_select_related = ["user"]
    # A count over the whole table would make each page slower as the table grows.
    show_full_result_count = False


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
        return queryset.filter(reason=self.value()) if self.value() else queryset


@admin.register(Conversion)
class ConversionAdmin(_Logbook, ConversionModelAdmin):
    list_display = [
        "order_id",
        "state",
        "why",
        "amount",
        "event_time",
        "attempts",
        "due_at",
        "delivered_at",
        "sendout_id",
        "ad_id",
    ]
    list_filter = ["state", ReasonFilter, "event_name", "business"]
    search_fields = ["order_id"]
    search_help_text = _("The order's number, exactly as the shop shows it.")
    show_full_result_count = False
    inlines = [DeliveryAttemptInline]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "order_id",
                    "event_name",
                    "state",
                    "why",
                    "detail",
                    "business",
                ]
            },
        ),
        (_("Order"), {"fields": ["amount", "event_time"]}),
        (_("Click"), {"fields": ["attribution", "sendout_id", "ad_id", "clicked_at"]}),
        (
            _("Delivery"),
            {
                "fields": [
                    "recorded_at",
                    "attempts",
                    "unconfirmed",
                    "crashes",
                    "due_at",
                    "delivered_at",
                    "cancelled_at",
                    "replayed_at",
                    "body",
                ]
            },
        ),
    ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conversion], search_term: str
    ) -> tuple[QuerySet[Conversion], bool]:
        """By the order's number; by its key too, since a collation may fold case."""
        if term := search_term.strip():
            queryset = queryset.filter(order_id=term, key=key_of(term))
        return queryset, False

    @admin.display(description=_("value"))
    def amount(self, conversion: Conversion) -> str:
        return conversion.amount or "-"

    @admin.display(description=_("why"))
    def why(self, conversion: Conversion) -> StrOrPromise:
        return conversion.explanation or "-"


@admin.register(Circuit)
class CircuitAdmin(_Logbook, CircuitModelAdmin):
    list_display = ["business", "paused_until", "reason", "probes", "changed_at"]
