"""What a shop adds to Oscar: a payment provider's webhook, and a short checkout."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from oscar.apps.checkout.mixins import OrderPlacementMixin
from oscar.apps.shipping.methods import Free
from oscar.core.loading import get_model
from oscar.core.thumbnails import AbstractThumbnailer

if TYPE_CHECKING:
    from django.http import HttpRequest


@csrf_exempt
def paid(request: HttpRequest, number: str) -> HttpResponse:
    """The provider says that an order was paid; the customer is not here."""
    get_object_or_404(get_model("order", "Order"), number=number).set_status("Paid")
    return HttpResponse(status=204)


class BuyAtOnce(OrderPlacementMixin, View):  # type: ignore[misc]
    """Places what is in the basket, and asks nothing."""

    def post(self, request: HttpRequest) -> HttpResponse:
        basket: Any = request.basket  # type: ignore[attr-defined]
        method = Free()
        charge = method.calculate(basket)
        answer: HttpResponse = self.handle_order_placement(
            self.generate_order_number(basket),
            request.user,
            basket,
            None,
            method,
            charge,
            None,
            self.get_order_totals(basket, charge),
            guest_email="ada@example.com",
        )
        return answer


class NoThumbnails(AbstractThumbnailer):  # type: ignore[misc]
    """The pictures are not what is tested."""

    def generate_thumbnail(self, source: Any, **options: Any) -> SimpleNamespace:
        return SimpleNamespace(url="", width=0, height=0)

    def delete_thumbnails(self, source: Any) -> None:
        pass
