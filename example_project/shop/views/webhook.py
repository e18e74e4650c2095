"""The bank's webhook, which comes without the customer's session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from connectly_tracking.signals import order_completed

from ..models import Order
from ..payment import Notice

if TYPE_CHECKING:
    from django.http import HttpRequest


@csrf_exempt
@require_POST
def webhook(request: HttpRequest) -> HttpResponse:
    """A repeated notice changes nothing."""
    notice = Notice.from_request(request)
    with transaction.atomic():
        orders = Order.objects.select_for_update()
        order = get_object_or_404(orders, number=notice.number)
        if notice.is_paid and order.awaits_payment:
            order.pay()
            order_completed.send(sender=Order, order=order)
    return HttpResponse(status=204)
