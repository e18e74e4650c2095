"""A customer who goes through the package's own pages, and a provider that calls."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse
from payments import get_payment_model

from tests.conftest import TAGGED

#: What the dummy provider's page asks.
FORM = {"fraud_status": "unknown", "gateway_response": "3ds-disabled"}


class Customer:
    def __init__(self) -> None:
        self.client = Client()

    def follow_the_ad(self) -> None:
        assert self.client.get(TAGGED).status_code == 200

    def check_out(self) -> Any:
        """To the page where the payment is made. Returns the payment."""
        sent = self.client.post(reverse("checkout"))
        payment = get_payment_model().objects.latest("pk")
        assert sent.headers["Location"] == reverse("pay", args=[payment.token])
        assert self.client.get(sent.headers["Location"]).status_code == 200
        return payment

    def pay(self, payment: Any, status: str, **fields: str) -> str:
        """Answer the provider's page. Returns where it leads to."""
        url = reverse("pay", args=[payment.token])
        sent = self.client.post(url, FORM | {"status": status} | fields)
        return sent.headers["Location"]


def call(payment: Any, status: str) -> None:
    """The provider's webhook, at the payment's own URL; the customer is not here."""
    sent = Client().get(payment.get_process_url(), {"verification_result": status})
    assert sent.status_code == 302


def call_one_url(payment: Any, status: str) -> None:
    """The same at the one URL that is for all payments."""
    type(payment).objects.filter(pk=payment.pk).update(variant="one-url")
    url = reverse("static_process_payment", args=["one-url"])
    sent = Client().post(url, {"token": payment.token, "status": status})
    assert sent.status_code == 204
