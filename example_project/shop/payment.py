"""Payment by bank: where customers are sent, and how the shop is notified."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.exceptions import BadRequest, PermissionDenied
from django.urls import reverse

from example_project.bank import seal
from example_project.bank.invoice import Invoice

if TYPE_CHECKING:
    from django.http import HttpRequest

    from .models import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The bank's notice about a payment."""

    number: str
    is_paid: bool

    @classmethod
    def from_request(cls, request: HttpRequest) -> Notice:
        """Raises PermissionDenied if the bank has not signed it."""
        if not seal.is_genuine(request.body, request.headers.get(seal.HEADER, "")):
            raise PermissionDenied
        try:
            told = json.loads(request.body)
            return cls(number=told["reference"], is_paid=told["status"] == "paid")
        except (ValueError, TypeError, KeyError) as exc:
            raise BadRequest("Not a notice about a payment.") from exc


def page_of(order: Order) -> str:
    """The URL of the bank's page for this order."""
    invoice = Invoice(
        merchant="Beispiel",
        reference=order.number,
        amount=f"{order.total} {order.currency}",
        webhook=reverse("shop:webhook"),
        back=order.get_absolute_url(),
    )
    return reverse("bank:pay", args=[invoice.sealed()])
