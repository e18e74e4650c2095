"""A customer who walks through Oscar's own pages, form by form."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from oscar.core.loading import get_model

from tests.conftest import TAGGED

if TYPE_CHECKING:
    from connectly_tracking.sandbox import Sandbox

EMAIL = "ada@example.com"
PASSWORD = "not-a-secret"
ADDRESS = {
    "first_name": "Ada",
    "last_name": "Lovelace",
    "line1": "12 St James's Square",
    "line4": "London",
    "postcode": "SW1Y 4JH",
}


class Customer:
    """Has a browser of their own, and sends each form from the page that shows it."""

    def __init__(self) -> None:
        self.client = Client(enforce_csrf_checks=True)

    def follow_the_ad(self) -> None:
        assert self.client.get(TAGGED).status_code == 302  # to the catalogue

    def log_in(self) -> None:
        """On the page that asks for it; the account is made where there is none."""
        users = get_user_model()._default_manager
        if not users.filter(email=EMAIL).exists():
            users.create_user("ada", EMAIL, PASSWORD)
        self._send(
            reverse("customer:login"),
            {
                "login-username": EMAIL,
                "login-password": PASSWORD,
                "login_submit": "Log In",
            },
        )

    def take(self, product: Any, quantity: int = 1) -> None:
        """From a list of products: its own page would be a view to report."""
        url = reverse("basket:add", kwargs={"pk": product.pk})
        self._send(url, {"quantity": quantity}, page=reverse("catalogue:index"))

    def redeem(self, code: str) -> None:
        page = reverse("basket:summary")
        self._send(reverse("basket:vouchers-add"), {"code": code}, page=page)

    def check_out(self, **identity: str) -> Any:
        """To the thank-you page, and the order that it thanks for."""
        done = self.send_order(**identity)
        assert done.headers["Location"] == reverse("checkout:thank-you")
        order = self.client.get(reverse("checkout:thank-you")).context["order"]
        return get_model("order", "Order").objects.get(pk=order.pk)

    def send_order(self, **identity: str) -> Any:
        """The whole checkout, to its last form; as a guest unless logged in."""
        gateway = reverse("checkout:index")
        if self.client.get(gateway).status_code == 200:
            guest = {"username": EMAIL, "options": "anonymous"}
            self._send(gateway, guest | identity)
        self._send(reverse("checkout:shipping-address"), ADDRESS)
        # There is one way of shipping, which Oscar takes by itself.
        chosen = self.client.get(reverse("checkout:shipping-method"), follow=True)
        assert chosen.status_code == 200
        return self._send(reverse("checkout:preview"), {"action": "place_order"})

    def buy_at_once(self) -> None:
        page = reverse("basket:summary")
        assert self._send(reverse("at-once"), {}, page=page).status_code == 302

    def _send(
        self, url: str, fields: dict[str, Any], *, page: str | None = None
    ) -> Any:
        shown = self.client.get(page or url)
        assert shown.status_code == 200, (url, shown.headers)
        token = str(shown.context["csrf_token"])
        return self.client.post(url, fields | {"csrfmiddlewaretoken": token})


def purchases(sandbox: Sandbox) -> list[dict[str, Any]]:
    """What the fake Connectly got and counted, with its numbers as they were written.

    Fails where it was asked more often than it counted.
    """
    assert sandbox.received_count == sandbox.event_count
    return [json.loads(event.body, parse_float=Decimal) for event in sandbox.events]
