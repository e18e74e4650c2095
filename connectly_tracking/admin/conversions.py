"""The orders, and what became of each: the operator's logbook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.text import capfirst
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..api.values import safe_id
from ..models import Attribution, Circuit, Conversion, State, key_of
from ..reports.explanation import explanation_of, explanations
from . import filters
from .advice import minute, next_step
from .badge import badge
from .changes import Change, Changing
from .curl import curl
from .dates import Dated
from .ids import ad_id, campaign_id
from .logbook import BoundedPaginator, Logbook
from .status import StatusView
from .timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString
    from django_stubs_ext import StrOrPromise

    ConversionModelAdmin = admin.ModelAdmin[Conversion]
else:
    ConversionModelAdmin = admin.ModelAdmin

LIST = "admin:connectly_tracking_conversion_changelist"


@admin.register(Conversion)
class ConversionAdmin(Changing, Dated, Logbook, ConversionModelAdmin):
    list_display = ["order", "status", "amount", "campaign", "placed"]
    list_display_links = ["order"]
    list_filter = [
        "state",
        filters.PeriodFilter,
        filters.BusinessFilter,
        "event_name",
        filters.ReasonFilter,
    ]
    ordering = ["-recorded_at", "-id"]
    sortable_by = ()  # any other order reads the whole table
    paginator = BoundedPaginator
    search_fields = ["order_id"]
    search_help_text = _(
        "An order's number or an id of its click (campaign, ad, click id, tracking "
        "id), exactly."
    )
    actions = ["send_again", "cancel"]
    fieldsets = [
        (
            _("All that is known"),
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
                    "due_at",
                    "delivered_at",
                    "cancelled_at",
                    "replayed_at",
                ],
            },
        ),
        (_("What is sent"), {"classes": ["collapse"], "fields": ["body"]}),
    ]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        name = "connectly_tracking_conversion"
        status = StatusView.as_view(model_admin=self)
        ours = [path("status/", view(status), name=f"{name}_status")]
        for change in self.changes:
            ours.append(
                path(
                    f"<int:pk>/{change.name}/",
                    view(self.change_one),
                    {"change": change},
                    name=f"{name}_{change.name}",
                )
            )
        return ours + super().get_urls()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conversion], search_term: str
    ) -> tuple[QuerySet[Conversion], bool]:
        """By the order's number; by its key too, since a collation may fold case. Only
        what is no order's is looked for among the click's ids, which have no index.
        """
        if not (term := search_term.strip()):
            return queryset, False
        found = queryset.filter(order_id=safe_id(term), key=key_of(term))
        if found.exists():
            return found, False
        clicks = Attribution.objects.filter(
            Q(ctwa_clid=term) | Q(cnct_tracking_id=term)
        )
        ids = Q(sendout_id=term) | Q(ad_id=term) | Q(attribution__in=clicks)
        return queryset.filter(ids), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Whoever asks for an order is told what became of it, row or no row; whoever
        asks for a click's id and finds its orders did not ask for one.
        """
        titled = {"title": capfirst(Conversion._meta.verbose_name_plural)}
        response = super().changelist_view(request, titled | (extra_context or {}))
        context: dict[str, Any] = getattr(response, "context_data", None) or {}
        if "cl" in context and (term := context["cl"].query.strip()):
            orders = {row.order_id for row in context["cl"].result_list}
            if not orders or safe_id(term) in orders:
                context["explanations"] = _said(lambda: explanations(term))
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
        return super().change_view(request, object_id, form_url, extra_context)

    def change_one(self, request: HttpRequest, pk: int, change: Change) -> HttpResponse:
        """Asks, and does it, for one row."""
        rows = self.get_queryset(request).filter(pk=pk)
        if not change.is_allowed(request) or not self.has_view_permission(request):
            raise PermissionDenied
        if not rows.exists():
            raise Http404
        here = reverse("admin:connectly_tracking_conversion_change", args=[pk])
        found = Conversion.objects.filter(pk__in=rows)
        page = self.ask(request, found, change, back=here)
        return page or HttpResponseRedirect(here)

    def _story(self, request: HttpRequest, row: Conversion) -> dict[str, Any]:
        pause = Circuit.objects.filter(pk=row.business).exclude(paused_until=None)
        clicks = Attribution.objects.filter(conversions=row)  # it may be pruned
        entries, left_out = timeline(row, clicks.first())
        return {
            "story": _said(lambda: [explanation_of(row)])[0],
            "badge": badge(row),
            "timeline": entries,
            "left_out": left_out,
            "next_step": next_step(row, pause.first()),
            "curl": curl(row),
            "changes": [
                change
                for change in self.changes
                if change.is_allowed(request) and change.is_possible(row)
            ],
        }

    @admin.display(description=_("order"))
    def order(self, conversion: Conversion) -> str:
        return conversion.order_id or conversion.get_event_name_display()

    @admin.display(description=_("state"))
    def status(self, conversion: Conversion) -> SafeString:
        return format_html("{}{}", badge(conversion), _quiet(*_progress(conversion)))

    @admin.display(description=_("value"))
    def amount(self, conversion: Conversion) -> str:
        return conversion.amount or "-"

    @admin.display(description=_("campaign, ad"))
    def campaign(self, conversion: Conversion) -> StrOrPromise:
        found = [
            _link("sendout_id", conversion.sendout_id, campaign_id),
            _link("ad_id", conversion.ad_id, ad_id),
        ]
        return format_html_join("", "<div>{}</div>", ((it,) for it in found if it))

    @admin.display(description=_("placed"))
    def placed(self, conversion: Conversion) -> SafeString:
        clicked = conversion.clicked_at
        words = format_html(_now("clicked {}"), _time(clicked)) if clicked else ""
        return format_html("{}{}", _time(conversion.event_time), _quiet(words))


def _said(say: Callable[[], list[str]]) -> list[str]:
    """Where a setting is wrong, that is what is to be said."""
    try:
        return say()
    except ImproperlyConfigured as exc:
        return [str(exc)]


def _progress(conversion: Conversion) -> Iterator[StrOrPromise]:
    """Why it is where it is, how often it was tried, and when it will be."""
    yield conversion.explanation
    if conversion.attempts > 1:
        yield ngettext("%(count)d try", "%(count)d tries", conversion.attempts) % {
            "count": conversion.attempts
        }
    if conversion.state == State.PENDING:
        yield format_html(_now("next try {}"), _time(conversion.due_at))


def _time(at: datetime | None) -> SafeString:
    return format_html('<span class="connectly-time">{}</span>', minute(at))


def _quiet(*lines: StrOrPromise) -> SafeString:
    return format_html_join(
        "", '<div class="connectly-why">{}</div>', ((line,) for line in lines if line)
    )


def _link(field: str, value: str, show: Callable[[str], StrOrPromise]) -> StrOrPromise:
    """To the list of all that have the same."""
    if not value:
        return ""
    url = f"{reverse(LIST)}?{urlencode({field: value})}"
    return format_html('<a href="{}">{}</a>', url, show(value))
