"""The orders, and what became of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from ..api.values import safe_id
from ..models import Attribution, Circuit, Conversion, State, key_of
from ..reports.explanation import explanation_of, explanations
from ..reports.similar import similar_orders
from .actions import ConfirmedAction, ConfirmedActionsMixin
from .display import ad_id, amount, badge, campaign_id, clock, curl, for_support
from .earnings import age
from .filters import (
    CAMPAIGN_IDS,
    CLICK_IDS,
    AdFilter,
    BusinessFilter,
    CampaignFilter,
    DateLinksMixin,
    FigureFilter,
    OrderLandingFilter,
    PeriodFilter,
    PlacedFilter,
    ReasonFilter,
    any_of,
    ids,
)
from .listing import (
    AnswerFilter,
    ListingMixin,
    TimeLeftFilter,
    TriesFilter,
    time_left,
)
from .pauses import pauses_of, warn_of_pauses
from .readonly import ReadOnlyAdmin
from .status import delivery_status
from .timeline import next_step, timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString
    from django_stubs_ext import StrOrPromise


#: Instead of the time of the next attempt.
_LATER: Final = _("waits until sending is resumed by hand")


@admin.register(Conversion)
class ConversionAdmin(
    ConfirmedActionsMixin, ListingMixin, DateLinksMixin, ReadOnlyAdmin
):
    list_display = ["order", "status", "amount", "campaign", "placed"]
    amount = staticmethod(amount)
    list_display_links = ["order"]
    list_filter = [
        "state",
        PeriodFilter,
        BusinessFilter,
        "event_name",
        ReasonFilter,
        TimeLeftFilter,
        TriesFilter,
        AnswerFilter,
        FigureFilter,
        PlacedFilter,
        CampaignFilter,
        AdFilter,
        OrderLandingFilter,
    ]
    ordering = ["-recorded_at", "-id"]
    sortable_by = ()  # any other order would read the whole table
    search_fields = ["order_id"]
    search_help_text = _(
        "Order number as the customer writes it, or an exact campaign, ad, click or "
        "tracking id."
    )
    empty_message = _(
        "No order has been recorded yet. An order appears here when the shop reports "
        "it as paid. If orders are missing, a developer can run connectly_doctor to "
        "find out why."
    )
    actions = ["send_again", "cancel"]
    fieldsets = [
        (
            _("Details"),
            {
                "classes": ["collapse"],
                "fields": [
                    "event_name",
                    "business",
                    "order_id",
                    "event_time",
                    "amount",
                    "attribution",
                    "sendout_id",
                    "ad_id",
                    "clicked_at",
                    "recorded_at",
                    "attempts",
                    "unconfirmed",
                    "crashes",
                    "next_try",
                    "delivered_at",
                    "cancelled_at",
                    "replayed_at",
                ],
            },
        ),
        (_("Request body"), {"classes": ["collapse"], "fields": ["body"]}),
    ]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        name = "connectly_tracking_conversion"
        ours = [path("status/", view(self.status_view), name=f"{name}_status")]
        for action in self.confirmed_actions:
            ours.append(
                path(
                    f"<int:pk>/{action.name}/",
                    view(self.confirm_view),
                    {"action": action},
                    name=f"{name}_{action.name}",
                )
            )
        return ours + super().get_urls()

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """With the pause of each row's business, which decides on its next attempt."""
        changes = super().get_changelist_instance(request)
        paused = pauses_of(request)
        for row in changes.result_list:
            row.pause = paused.get(row.business)
        return changes

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by the order's number, then by the ids of its click. The key is
        compared, too, since a collation may ignore case.
        """
        if not (term := search_term.replace("\0", "").strip()):
            return queryset, False
        found = queryset.filter(order_id=safe_id(term), key=key_of(term))
        if found.exists():
            return found, False
        clicks = (Attribution.objects.filter(it) for it in ids(term, CLICK_IDS))
        wanted = any_of(
            Conversion,
            *ids(term, CAMPAIGN_IDS),
            *(Q(attribution__in=click) for click in clicks),
        )
        if wanted is not None:
            return queryset.filter(wanted), False
        similar = similar_orders(term)
        request.similar_orders = similar  # type: ignore[attr-defined]
        # One: no other order can be meant.
        meant = similar if len(similar) == 1 else []
        return queryset.filter(order_id__in=meant), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Explain the searched order even if it was never recorded. A search by the id
        of a click gets no explanation.
        """
        response = super().changelist_view(request, extra_context)
        context: dict[str, Any] = getattr(response, "context_data", None) or {}
        if "cl" in context:
            warn_of_pauses(request)
        if "cl" in context and (term := context["cl"].query.strip()):
            orders = {row.order_id for row in context["cl"].result_list}
            similar: list[str] = getattr(request, "similar_orders", [])
            if not orders or safe_id(term) in orders:
                context["explanations"] = explanations(term, similar=similar)
                context["similar"] = similar
            elif len(similar) == 1:
                context["explanations"] = [
                    *explanations(term, similar=similar),
                    *explanations(similar[0]),
                ]
        return response

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is not None and self.has_view_permission(request, row):
            extra_context = {**(extra_context or {}), **self._story(request, row)}
            warn_of_pauses(request)
        return super().change_view(request, object_id, form_url, extra_context)

    def _story(self, request: HttpRequest, row: Conversion) -> dict[str, Any]:
        pause = pauses_of(request).get(row.business)
        click = Attribution.objects.filter(conversions=row).first()  # None if pruned
        entries, left_out = timeline(row, click)
        return {
            "explanation": explanation_of(row),
            "badge": badge(row),
            "timeline": entries,
            "left_out": left_out,
            "next_step": next_step(row, pause),
            "curl": curl(row),
            "for_support": for_support(row),
            "confirmed_actions": [
                action
                for action in self.confirmed_actions
                if action.is_allowed(request) and action.is_possible(row)
            ],
        }

    def confirm_view(
        self, request: HttpRequest, pk: int, action: ConfirmedAction
    ) -> HttpResponse:
        """Confirm and apply an action for one row."""
        if not action.is_allowed(request) or not self.has_view_permission(request):
            raise PermissionDenied
        if not self.get_queryset(request).filter(pk=pk).exists():
            raise Http404
        here = reverse("admin:connectly_tracking_conversion_change", args=[pk])
        rows = Conversion.objects.filter(pk=pk)
        page = self.confirm(request, rows, action, back=here)
        return page or HttpResponseRedirect(here)

    def status_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = self.page_context(request, _("Delivery status")) | delivery_status()
        template = "admin/connectly_tracking/conversion/status.html"
        return TemplateResponse(request, template, context)

    @admin.display(description=_("order"))
    def order(self, conversion: Conversion) -> str:
        return conversion.order_id or conversion.get_event_name_display()

    @admin.display(description=_("state"))
    def status(self, conversion: Conversion) -> SafeString:
        return format_html("{}{}", badge(conversion), _quiet(*_progress(conversion)))

    @admin.display(description=_("next attempt"))
    def next_try(self, conversion: Conversion) -> StrOrPromise:
        pause = Circuit.objects.paused().filter(pk=conversion.business).first()
        if conversion.due_at is None:
            return "-"
        return clock(at) if (at := _next_try(conversion, pause)) else _LATER

    @admin.display(description=_("campaign, ad"))
    def campaign(self, conversion: Conversion) -> SafeString:
        found = [
            _link("sendout_id", conversion.sendout_id, campaign_id),
            _link("ad_id", conversion.ad_id, ad_id),
        ]
        return format_html_join("", "<div>{}</div>", ((it,) for it in found if it))

    @admin.display(description=_("placed"))
    def placed(self, conversion: Conversion) -> SafeString:
        clicked = conversion.clicked_at
        text = format_html(gettext("clicked {}"), clock(clicked)) if clicked else ""
        return format_html("{}{}", clock(conversion.event_time), _quiet(text))


def _next_try(conversion: Conversion, pause: Circuit | None) -> datetime | None:
    """Return when it can be sent next; None while a person has paused the business.

    While it is sent, this is the end of its lease.
    """
    due_at = conversion.due_at
    if pause is None or due_at is None or conversion.state != State.PENDING:
        return due_at
    return None if pause.is_by_hand else max(due_at, pause.paused_until or due_at)


def _progress(conversion: Conversion) -> Iterator[StrOrPromise]:
    """Say why it is in its state, how many attempts it had, and when the next is."""
    yield conversion.explanation
    if conversion.attempts > 1:
        yield ngettext(
            "%(count)d attempt", "%(count)d attempts", conversion.attempts
        ) % {"count": conversion.attempts}
    if conversion.state == State.PENDING and conversion.due_at is not None:
        pause: Circuit | None = getattr(conversion, "pause", None)
        at = _next_try(conversion, pause)
        yield format_html(gettext("next attempt {}"), clock(at)) if at else _LATER
        if (left := time_left(conversion)) is not None:
            yield gettext("time left: %(time)s") % {"time": age(left)}


def _quiet(*lines: StrOrPromise) -> SafeString:
    return format_html_join(
        "", '<div class="connectly-why">{}</div>', ((line,) for line in lines if line)
    )


def _link(field: str, value: str, show: Callable[[str], StrOrPromise]) -> StrOrPromise:
    """Link to the list of all rows with the same value."""
    if not value:
        return ""
    changelist = reverse("admin:connectly_tracking_conversion_changelist")
    url = f"{changelist}?{urlencode({field: value})}"
    return format_html('<a href="{}">{}</a>', url, show(value))
