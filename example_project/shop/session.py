"""What the shop keeps in the session: the cart, and the visitor's order numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from django.http import HttpRequest

CART: Final = "cart"
ORDERS: Final = "orders"


def cart(request: HttpRequest) -> dict[str, int]:
    """Pieces by SKU."""
    found = _read(request, CART)
    return dict(found) if isinstance(found, dict) else {}


def orders(request: HttpRequest) -> list[str]:
    """Oldest first; only this visitor may see their pages."""
    found = _read(request, ORDERS)
    return list(found) if isinstance(found, list) else []


def _read(request: HttpRequest, key: str) -> object:
    try:
        return request.session.get(key)
    except Exception:  # noqa: BLE001 - a store that is down must not cost the page
        return None
