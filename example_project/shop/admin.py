from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from .models import Order, OrderLine, Product

if TYPE_CHECKING:
    from django.http import HttpRequest


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "sku", "price", "currency"]
    search_fields = ["name", "sku"]


class OrderLineInline(admin.TabularInline):  # type: ignore[type-arg]
    model = OrderLine
    extra = 0


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["number", "total", "currency", "placed_at", "email"]
    readonly_fields = ["number"]
    search_fields = ["number", "email"]
    date_hierarchy = "placed_at"
    inlines = [OrderLineInline]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Orders come from the checkout, which gives them their number."""
        return False
