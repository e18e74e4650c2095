"""The clicks: what each link said, whose it is, and which orders it brought."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import router
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from ..models import Attribution, Conversion, OrderAttribution
from .customer import CustomerPageMixin
from .display import ad_id, amount, badge, campaign_id, clock
from .filters import (
    CAMPAIGN_IDS,
    CLICK_IDS,
    AdFilter,
    BusinessFilter,
    CampaignFilter,
    CapturedFilter,
    ClickedFilter,
    DateLinksMixin,
    LandingFilter,
    any_of,
    ids,
)
from .readonly import ReadOnlyAdmin, ReadOnlyInline, time_of

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django_stubs_ext import StrOrPromise


class CreditedOrderInline(ReadOnlyInline):
    """The orders that are credited to the click."""

    model = Conversion
    verbose_name_plural = _("orders from this click")
    fields = ["order_id", "status", "amount", "placed"]
    show_change_link = True
    status = staticmethod(badge)
    amount = staticmethod(amount)
    placed = staticmethod(time_of(Conversion, "event_time"))


class BoundOrderInline(ReadOnlyInline):
    """The orders that were bound to the click before they were paid."""

    model = OrderAttribution
    verbose_name_plural = _("orders linked to this click before payment")
    fields = ["order_id", "bound"]
    bound = staticmethod(time_of(OrderAttribution, "bound_at"))


@admin.register(Attribution)
class AttributionAdmin(CustomerPageMixin, DateLinksMixin, ReadOnlyAdmin):
    list_display = ["captured", "campaign", "reportable", "refused", "user"]
    list_filter = [
        "reportable",
        CapturedFilter,
        BusinessFilter,
        ClickedFilter,
        CampaignFilter,
        AdFilter,
        LandingFilter,
    ]
    ordering = ["-captured_at", "-id"]
    sortable_by = ()  # any other order would read the whole table
    inlines = [CreditedOrderInline, BoundOrderInline]
    search_fields = ["id"]
    search_help_text = _(
        "Exact campaign, ad, click or tracking id, or the click's UUID."
    )
    empty_message = _(
        "No click has been recorded yet. A click appears here when a customer opens "
        "the shop from a WhatsApp ad. If clicks are missing, a developer can run "
        "connectly_doctor to find out why."
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

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        """The users, unless they are in another database, with which none can join."""
        users = router.db_for_read(get_user_model())
        return ["user"] if users == router.db_for_read(Attribution) else []

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by the click's own number first, then by its ids."""
        if not (term := search_term.replace("\0", "").strip()):
            return queryset, False
        with suppress(ValueError):
            found = queryset.filter(pk=UUID(term))
            if found.exists():
                return found, False
        wanted = any_of(Attribution, *ids(term, (*CLICK_IDS, *CAMPAIGN_IDS)))
        return (queryset.none() if wanted is None else queryset.filter(wanted)), False

    @admin.display(description=_("captured"))
    def captured(self, click: Attribution) -> StrOrPromise:
        return clock(click.captured_at)

    @admin.display(description=_("campaign, ad"))
    def campaign(self, click: Attribution) -> StrOrPromise:
        ids = campaign_id(click.sendout_id), ad_id(click.ad_id)
        return format_html("<div>{}</div><div>{}</div>", *ids)
