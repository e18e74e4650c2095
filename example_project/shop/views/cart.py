from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from ..cart import Cart
from ..forms import BuyNowForm, CartForm
from .catalogue import refused

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@require_safe
def cart(request: HttpRequest) -> HttpResponse:
    return render(request, "shop/cart.html")


@require_POST
def add(request: HttpRequest) -> HttpResponse:
    form = BuyNowForm(request.POST)
    if not form.is_valid():
        return refused(request, form)
    Cart(request).add(form.cleaned_data["sku"], form.cleaned_data["quantity"])
    return redirect("shop:cart")


@require_POST
def change(request: HttpRequest) -> HttpResponse:
    """Invalid input leaves the cart unchanged."""
    form = CartForm(request.POST)
    if form.is_valid():
        Cart(request).put(form.cleaned_data["sku"], form.cleaned_data["quantity"])
    return redirect("shop:cart")
