from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from connectly_tracking.signals import order_completed

from .forms import CheckoutForm
from .models import Order, Product

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

#: The session's list of the visitor's own orders; nobody else sees their pages.
ORDERS = "orders"


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    return render(request, "shop/landing.html", {"products": Product.objects.all()})


@require_safe
def product(request: HttpRequest, sku: str) -> HttpResponse:
    shown = get_object_or_404(Product, sku=sku)
    form = CheckoutForm(initial={"sku": shown.sku})
    return render(request, "shop/product.html", {"product": shown, "form": form})


@require_POST
def checkout(request: HttpRequest) -> HttpResponse:
    form = CheckoutForm(request.POST)
    valid = form.is_valid()
    bought = form.cleaned_data.get("sku")
    if bought is None:
        raise Http404("No such product.")
    if not valid:
        context = {"product": bought, "form": form}
        return render(request, "shop/product.html", context, status=400)
    with transaction.atomic():
        order = Order.objects.place(
            bought,
            quantity=form.cleaned_data["quantity"],
            email=form.cleaned_data["email"],
        )
        order_completed.send(sender=Order, order=order, request=request)
    request.session[ORDERS] = [*request.session.get(ORDERS, []), order.number]
    return redirect(order)


@require_safe
def thank_you(request: HttpRequest, number: str) -> HttpResponse:
    if number not in request.session.get(ORDERS, []):
        raise Http404("No such order.")
    order = get_object_or_404(Order, number=number)
    return render(request, "shop/thank_you.html", {"order": order})
