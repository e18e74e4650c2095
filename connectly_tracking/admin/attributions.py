"""The clicks: what each said, whose it is, and which orders it earned."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from ..models import Attribution, Conversion, OrderAttribution
from . import filters
from .advice import clock
from .badge import badge
from .dates import Dated
from .ids import ad_id, campaign_id
from .logbook import BoundedPaginator, Logbook

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString
    from django_stubs_ext import StrOrPromise

    AttributionModelAdmin = admin.ModelAdmin[Attribution]
    OrderInline = admin.TabularInline[Conversion, Attribution]
    BindingInline = admin.TabularInline[OrderAttribution, Attribution]
else:
    AttributionModelAdmin = admin.ModelAdmin
    OrderInline = BindingInline = admin.TabularInline


class EarnedInline(Logbook, OrderInline):
    """The orders that this click earned."""

    model = Conversion
    verbose_name_plural = _("orders")
    fields = ["order_id", "status", "amount", "event_time"]
    readonly_fields = ["order_id", "status", "amount", "event_time"]
    show_change_link = True
    extra = 0
    can_delete = False

    @admin.display(description=_("state"))
    def status(self, conversion: Conversion) -> SafeString:
        return badge(conversion)


class BoundInline(Logbook, BindingInline):
    """The orders that were bound to it before they were paid."""

    model = OrderAttribution
    verbose_name_plural = _("bound before payment")
    fields = ["order_id", "bound_at"]
    readonly_fields = ["order_id", "bound_at"]
    extra = 0
    can_delete = False


@admin.register(Attribution)
class AttributionAdmin(Dated, Logbook, AttributionModelAdmin):
    list_display = ["captured", "campaign", "reportable", "refused", "user"]
    list_filter = ["reportable", filters.CapturedFilter, filters.BusinessFilter]
    list_select_related = ["user"]
    ordering = ["-captured_at", "-id"]
    sortable_by = ()
    paginator = BoundedPaginator
    inlines = [EarnedInline, BoundInline]
    search_fields = ["id"]
    search_help_text = _(
        "One of its ids (campaign, ad, click id, tracking id), or its number, exactly."
    )
    fields = [
        "captured_at",
        "user",
        "business",
        "cnct_tracking_id",
        "sendout_id",
        "ctwa_clid",
        "ad_id",
        "attribution_source",
        "page",
        "reportable",
        "refused",
    ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Attribution], search_term: str
    ) -> tuple[QuerySet[Attribution], bool]:
        """By its own number first; the other ids have no index."""
        if not (term := search_term.strip()):
            return queryset, False
        with suppress(ValueError):
            found = queryset.filter(pk=UUID(term))
            if found.exists():
                return found, False
        names = ("cnct_tracking_id", "sendout_id", "ctwa_clid", "ad_id")
        ids = Q(*((name, term) for name in names), _connector=Q.OR)
        return queryset.filter(ids), False

    @admin.display(description=_("captured"))
    def captured(self, click: Attribution) -> str:
        return clock(click.captured_at)

    @admin.display(description=_("campaign, ad"))
    def campaign(self, click: Attribution) -> StrOrPromise:
        ids = campaign_id(click.sendout_id), ad_id(click.ad_id)
        return format_html("<div>{}</div><div>{}</div>", *ids)
