"""A visitor's cart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from . import session
from .models import Product

if TYPE_CHECKING:
    from decimal import Decimal

    from django.http import HttpRequest

MOST = 99  # pieces of one product


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    product: Product
    quantity: int

    @property
    def total(self) -> Decimal:
        return self.product.price * self.quantity


class Cart:
    """The cart in the session; products that are no longer sold are left out."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @cached_property
    def lines(self) -> list[Line]:
        pieces = session.cart(self._request)
        if not pieces:
            return []
        found = {it.sku: it for it in Product.objects.filter(sku__in=pieces)}
        return [
            Line(product=found[sku], quantity=quantity)
            for sku, quantity in pieces.items()
            if sku in found
        ]

    @property
    def count(self) -> int:
        return sum(line.quantity for line in self.lines)

    @property
    def total(self) -> Decimal | int:
        return sum(line.total for line in self.lines)

    @property
    def currency(self) -> str:
        return self.lines[0].product.currency if self.lines else ""

    def add(self, product: Product, quantity: int) -> None:
        before = session.cart(self._request).get(product.sku, 0)
        self.put(product, min(before + quantity, MOST))

    def put(self, product: Product, quantity: int) -> None:
        """Set the quantity; 0 removes the product."""
        pieces = session.cart(self._request) | {product.sku: quantity}
        self._write({sku: count for sku, count in pieces.items() if count})

    def clear(self) -> None:
        self._write({})

    def _write(self, pieces: dict[str, int]) -> None:
        self._request.session[session.CART] = pieces
        self.__dict__.pop("lines", None)
