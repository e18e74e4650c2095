"""An agent of a shop's monitoring: it wraps what sends, as such do, and has a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import AppConfig
from django.conf import settings
from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from .shop import Shop


class Agent(AppConfig):
    """Fails with a TypeError wherever the order that ``SPOILT`` names is sent."""

    name = __name__

    def ready(self) -> None:
        plain = HTTPAdapter.send
        spoilt = f'"{settings.SPOILT}"'.encode()  # type: ignore[misc]

        def send(self: Any, request: Any, **options: Any) -> Any:
            if spoilt in request.body:
                raise TypeError("unsupported operand type(s)")
            return plain(self, request, **options)

        HTTPAdapter.send = send  # type: ignore[assignment, method-assign]


def install(shop: Shop, order_id: str) -> None:
    """In the processes that are started from now on."""
    shop.install(f"{__name__}.Agent", SPOILT=order_id)
