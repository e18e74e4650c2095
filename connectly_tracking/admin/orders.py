"""For the shop's own OrderAdmin: what became of each order, beside the order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.checks import InlineModelAdminChecks
from django.forms.models import BaseModelFormSet, modelformset_factory
from django.utils.translation import gettext_lazy as _

from ..api.values import id_text
from ..models import Conversion, EventName, key_of
from .badge import badge
from .ids import campaign_id
from .logbook import Logbook

if TYPE_CHECKING:
    from django.core.checks import CheckMessage
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest
    from django_stubs_ext import StrOrPromise

    Formset = BaseModelFormSet[Conversion, Any]
    Inline = admin.TabularInline[Conversion, Any]
    OrderModelAdmin = admin.ModelAdmin[Any]
else:
    Formset = BaseModelFormSet
    Inline = admin.TabularInline
    OrderModelAdmin = object


class ConversionInline(Logbook, Inline):
    """An order's conversions. ``order_field`` names the order's attribute that the
    adapter passes as ``order_id``.
    """

    model = Conversion
    order_field: ClassVar[str] = "pk"
    fields = ["status", "why", "amount", "sendout_id", "ad_id", "delivered_at"]
    readonly_fields = ["status", "why", "amount", "sendout_id", "ad_id", "delivered_at"]
    verbose_name_plural = _("Reported to Connectly")
    show_change_link = True
    extra = 0
    can_delete = False

    class checks_class(InlineModelAdminChecks):  # noqa: N801 - Django's name
        """There is no foreign key, so that no order depends on our tables."""

        def _check_exclude_of_parent_model(
            self, obj: Any, parent_model: Any
        ) -> list[CheckMessage]:
            return []

        def _check_relation(self, obj: Any, parent_model: Any) -> list[CheckMessage]:
            return []

    def get_formset(
        self, request: HttpRequest, obj: Any | None = None, **kwargs: Any
    ) -> Any:
        formset = modelformset_factory(
            Conversion, formset=_OfOrder, fields=[], extra=0, max_num=0
        )
        formset.order_field = self.order_field  # type: ignore[attr-defined]
        return formset

    @admin.display(description=_("state"))
    def status(self, conversion: Conversion) -> StrOrPromise:
        return badge(conversion)

    @admin.display(description=_("why"))
    def why(self, conversion: Conversion) -> StrOrPromise:
        return conversion.explanation or "-"

    @admin.display(description=_("value"))
    def amount(self, conversion: Conversion) -> str:
        return conversion.amount or "-"


class _OfOrder(Formset):
    """Finds them by the order's id; there is nothing to save."""

    order_field = "pk"

    def __init__(
        self,
        data: Any = None,
        files: Any = None,
        instance: Model | None = None,
        save_as_new: bool = False,
        prefix: str | None = None,
        queryset: QuerySet[Conversion] | None = None,
        **kwargs: Any,
    ) -> None:
        rows = Conversion.objects.none()
        if instance is not None and instance.pk is not None:
            order_id = id_text(getattr(instance, self.order_field)) or ""
            rows = Conversion.objects.filter(order_id=order_id, key=key_of(order_id))
        super().__init__(
            queryset=rows.order_by("id"), prefix=prefix or "connectly", **kwargs
        )

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
    """Two more columns for the shop's list of orders, without a query for each: what
    became of it, and its campaign. ``order_field`` is as in `ConversionInline`; like
    it, they are for those who may view conversions.
    """

    order_field: ClassVar[str] = "pk"
    Media = Logbook.Media

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """One query for all orders of the page: by their ids, since a join of ours with
        the shop's table would rest on both having the same types and collations.
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

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        shown = [*super().get_list_display(request)]
        rights = (f"connectly_tracking.{may}_conversion" for may in ("view", "change"))
        if not any(request.user.has_perm(right) for right in rights):
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
