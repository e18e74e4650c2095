"""A provider that has one URL for all payments, as Stripe and PayPal have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from payments.dummy import DummyProvider

if TYPE_CHECKING:
    from django.http import HttpRequest


class OneUrlProvider(DummyProvider):  # type: ignore[misc]
    def get_token_from_request(self, payment: Any, request: HttpRequest) -> str | None:
        return request.POST.get("token")

    def process_data(self, payment: Any, request: HttpRequest) -> HttpResponse:
        payment.change_status(request.POST["status"])
        return HttpResponse(status=204)
