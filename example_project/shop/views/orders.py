"""A visitor's own orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.http import Http404, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from connectly_tracking.signals import order_cancelled

from .. import payment, session
from ..models import Order
from ..visit import Visit

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@require_safe
@never_cache
def thank_you(request: HttpRequest, number: str) -> HttpResponse:
    order = get_object_or_404(Order, number=_own(request, number))
    context = {
        "order": order,
        "payment_page": payment.page_of(order),
        "watch": True,
    }
    return render(request, "shop/thank_you.html", context)


@require_POST
def cancel(request: HttpRequest, number: str) -> HttpResponse:
    with transaction.atomic():
        orders = Order.objects.select_for_update()
        order = get_object_or_404(orders, number=_own(request, number))
        if order.awaits_payment:
            order.cancel()
            order_cancelled.send(sender=Order, order_id=order.number)
    return redirect(order)


@require_safe
@never_cache
async def visit(request: HttpRequest) -> JsonResponse:
    """For the bar, which asks again and again: async, as an example."""
    found = await Visit.afrom_request(request)
    return JsonResponse(found.as_json())


def _own(request: HttpRequest, number: str) -> str:
    if number not in session.orders(request):
        raise Http404("No such order.")
    return number
