from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from connectly_tracking.attribution import bind_order
from connectly_tracking.signals import order_completed

from .. import payment, session
from ..cart import Cart
from ..forms import BuyNowForm, PaymentForm
from ..models import Order
from .catalogue import refused

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@require_POST
def buy_now(request: HttpRequest) -> HttpResponse:
    """Buy one product without the cart, paid at once."""
    form = BuyNowForm(request.POST)
    if not form.is_valid():
        return refused(request, form)
    with transaction.atomic():
        order = Order.objects.place(
            form.cleaned_data["sku"],
            quantity=form.cleaned_data["quantity"],
            email=form.cleaned_data["email"],
        )
        _complete(request, order)
    _remember(request, order)
    return redirect(order)


@require_http_methods(["GET", "HEAD", "POST"])
def pay_cart(request: HttpRequest) -> HttpResponse:
    cart = Cart(request)
    if not cart.lines:
        return redirect("shop:cart")
    form = PaymentForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        status = 400 if form.is_bound else 200
        return render(request, "shop/checkout.html", {"form": form}, status=status)
    is_later = form.cleaned_data["method"] == PaymentForm.BANK
    with transaction.atomic():
        order = Order.objects.place_all(
            [(line.product, line.quantity) for line in cart.lines],
            email=form.cleaned_data["email"],
        )
        if is_later:
            # The bank's webhook comes without this visitor's session.
            bind_order(request, order.number)
        else:
            _complete(request, order)
    cart.clear()
    _remember(request, order)
    return redirect(payment.page_of(order) if is_later else order)


def _complete(request: HttpRequest, order: Order) -> None:
    order.pay()
    order_completed.send(sender=Order, order=order, request=request)


def _remember(request: HttpRequest, order: Order) -> None:
    request.session[session.ORDERS] = [*session.orders(request), order.number]
