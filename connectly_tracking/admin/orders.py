"""For the shop's own OrderAdmin: what became of each order, beside the order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.checks import InlineModelAdminChecks
from django.forms.models import BaseModelFormSet, modelformset_factory
from django.utils.translation import gettext_lazy as _

from ..api.values import id_text
from ..models import Conversion, EventName, key_of
from .display import amount, badge, campaign_id
from .pauses import warn_of_pauses
from .readonly import ReadOnlyAdmin, ReadOnlyInline, time_of

if TYPE_CHECKING:
    from django.core.checks import CheckMessage
    from django.http import HttpRequest
    from django_stubs_ext import StrOrPromise

    ConversionFormSet = BaseModelFormSet[Conversion, Any]
    OrderModelAdmin = admin.ModelAdmin[Any]
else:
    ConversionFormSet = BaseModelFormSet
    OrderModelAdmin = object


class _NoForeignKeyChecks(InlineModelAdminChecks):
    """There is no foreign key, so that no order depends on our tables."""

    def _check_exclude_of_parent_model(
        self, obj: Any, parent_model: Any
    ) -> list[CheckMessage]:
        return []

    def _check_relation(self, obj: Any, parent_model: Any) -> list[CheckMessage]:
        return []


class ConversionInline(ReadOnlyInline):
    """An order's conversions.

    ``order_field`` is the name of the order's attribute that your ORDER_ADAPTER passes
    as ``order_id``.
    """

    model = Conversion
    order_field: ClassVar[str] = "pk"
    fields = ["status", "why", "amount", "sendout_id", "ad_id", "delivered"]
    verbose_name_plural = _("Reported to Connectly")
    show_change_link = True
    checks_class = _NoForeignKeyChecks
    status = staticmethod(badge)
    amount = staticmethod(amount)
    delivered = staticmethod(time_of(Conversion, "delivered_at"))

    def get_formset(
        self, request: HttpRequest, obj: Any | None = None, **kwargs: Any
    ) -> Any:
        if _may_view(request):
            warn_of_pauses(request)
        formset = modelformset_factory(
            Conversion, formset=_OrderFormSet, fields=[], extra=0, max_num=0
        )
        formset.order_field = self.order_field  # type: ignore[attr-defined]
        return formset

    @admin.display(description=_("why"))
    def why(self, conversion: Conversion) -> StrOrPromise:
        return conversion.explanation or "-"


class _OrderFormSet(ConversionFormSet):
    """Finds the rows by the order's id, and saves nothing."""

    order_field = "pk"

    def __init__(self, *, instance: Any, prefix: str, **_not_ours: Any) -> None:
        rows = Conversion.objects.none()
        if instance.pk is not None:
            order_id = id_text(getattr(instance, self.order_field)) or ""
            rows = Conversion.objects.filter(order_id=order_id, key=key_of(order_id))
        super().__init__(queryset=rows.order_by("id"), prefix=prefix)

    @classmethod
    def get_default_prefix(cls) -> str:
        return "connectly"

    def is_valid(self) -> bool:
        return True

    def save(self, commit: bool = True) -> list[Conversion]:
        self.new_objects: list[Conversion] = []
        self.changed_objects: list[tuple[Conversion, list[str]]] = []
        self.deleted_objects: list[Conversion] = []
        return []


class AttributionAdminMixin(OrderModelAdmin):
    """Two more columns for the shop's list of orders: what became of the order, and its
    campaign. They cost one query for the whole page, and are shown to those who may
    view conversions. ``order_field`` is as in `ConversionInline`.
    """

    order_field: ClassVar[str] = "pk"
    Media = ReadOnlyAdmin.Media

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Look up all orders of the page by their ids: a join would need the same type
        and collation in both tables.
        """
        changes = super().get_changelist_instance(request)
        orders = [
            (id_text(getattr(it, self.order_field)), it) for it in changes.result_list
        ]
        rows = Conversion.objects.filter(
            event_name=EventName.PURCHASE,
            order_id__in=[order_id for order_id, _order in orders if order_id],
        )
        found = {row.key: row for row in rows.order_by("-id").defer("body", "payload")}
        for order_id, order in orders:
            order.connectly_conversion = found.get(key_of(order_id or ""))
        return changes

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        response = super().changelist_view(request, extra_context)
        if _may_view(request) and hasattr(response, "context_data"):
            warn_of_pauses(request)
        return response

    def render_change_form(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> Any:
        if _may_view(request):
            warn_of_pauses(request)
        return super().render_change_form(request, *args, **kwargs)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        shown = [*super().get_list_display(request)]
        if not _may_view(request):
            return shown
        ours = ["connectly_reported", "connectly_campaign"]
        return shown + [name for name in ours if name not in shown]

    @admin.display(description=_("reported"))
    def connectly_reported(self, order: Any) -> StrOrPromise:
        return badge(order.connectly_conversion) if order.connectly_conversion else "-"

    @admin.display(description=_("campaign"))
    def connectly_campaign(self, order: Any) -> StrOrPromise:
        row = order.connectly_conversion
        return campaign_id(row.sendout_id if row else "")


def _may_view(request: HttpRequest) -> bool:
    rights = (f"connectly_tracking.{may}_conversion" for may in ("view", "change"))
    return any(request.user.has_perm(right) for right in rights)
