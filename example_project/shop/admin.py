from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from connectly_tracking.admin import AttributionAdminMixin, ConversionInline

from .models import Order, OrderLine, Product

if TYPE_CHECKING:
    from django.http import HttpRequest


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "sku", "price", "currency"]
    search_fields = ["name", "sku"]


class OrderLineInline(admin.TabularInline):  # type: ignore[type-arg]
    """Quantity and price can be corrected, but not the product."""

    model = OrderLine
    fields = ["sku", "name", "quantity", "price"]
    readonly_fields = ["sku", "name"]
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class ReportInline(ConversionInline):
    order_field = "number"


@admin.register(Order)
class OrderAdmin(AttributionAdminMixin, admin.ModelAdmin):  # type: ignore[type-arg]
    order_field = "number"
    list_display = ["number", "amount", "placed_at", "paid_at", "email"]
    readonly_fields = ["number"]
    search_fields = ["number", "email"]
    date_hierarchy = "placed_at"
    view_on_site = False  # the page is its customer's alone
    inlines = [OrderLineInline, ReportInline]

    @admin.display(description="total", ordering="total")
    def amount(self, order: Order) -> str:
        return f"{order.total} {order.currency}"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Orders come from the checkout, which gives them their number."""
        return False
