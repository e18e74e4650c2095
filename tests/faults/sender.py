"""Each request says which process sent it, so that a kill can be named as its end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from django.apps import AppConfig
from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from connectly_tracking.sandbox import Received

    from .shop import Shop

HEADER: Final = "X-Process"


class Sender(AppConfig):
    name = __name__

    def ready(self) -> None:
        plain = HTTPAdapter.send

        def send(self: Any, request: Any, **options: Any) -> Any:
            request.headers[HEADER] = str(os.getpid())
            return plain(self, request, **options)

        HTTPAdapter.send = send  # type: ignore[assignment, method-assign]


def install(shop: Shop) -> None:
    """In the processes that are started from now on."""
    shop.install(f"{__name__}.Sender")


def sender_of(received: Received) -> int:
    """The id of its process."""
    return int(received.headers[HEADER])
