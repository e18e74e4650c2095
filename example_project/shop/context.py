"""What every page of the shop shows: the cart and the bar."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.utils.functional import SimpleLazyObject

from .cart import Cart
from .visit import Visit

if TYPE_CHECKING:
    from django.http import HttpRequest


def visitor(request: HttpRequest) -> dict[str, Any]:
    """Lazy, since the admin's pages do not use it."""
    return {
        "cart": SimpleLazyObject(partial(Cart, request)),
        "visit": SimpleLazyObject(partial(Visit.from_request, request)),
    }
