"""How this shop is paid through its bank: where it sends, what it is told."""

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
    """What the bank says of a payment, in a request of its own."""

    number: str
    is_paid: bool

    @classmethod
    def from_request(cls, request: HttpRequest) -> Notice:
        """Raises PermissionDenied where the bank has not signed it."""
        if not seal.is_genuine(request.body, request.headers.get(seal.HEADER, "")):
            raise PermissionDenied
        try:
            told = json.loads(request.body)
            return cls(number=told["reference"], is_paid=told["status"] == "paid")
        except (ValueError, TypeError, KeyError) as exc:
            raise BadRequest("This is no notice of a payment.") from exc


def page_of(order: Order) -> str:
    """Where the customer pays."""
    invoice = Invoice(
        merchant="Beispiel",
        reference=order.number,
        amount=f"{order.total} {order.currency}",
        webhook=reverse("shop:webhook"),
        back=order.get_absolute_url(),
    )
    return reverse("bank:pay", args=[invoice.sealed()])
