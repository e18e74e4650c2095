"""What every page of the shop shows besides its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.utils.functional import SimpleLazyObject

from .cart import Cart
from .visit import Visit

if TYPE_CHECKING:
    from django.http import HttpRequest


def visitor(request: HttpRequest) -> dict[str, Any]:
    """Looked up where a page asks for it; the admin's do not."""
    return {
        "cart": SimpleLazyObject(partial(Cart, request)),
        "visit": SimpleLazyObject(partial(Visit.from_request, request)),
    }
