"""A worker whose clock is ahead, by which Celery tells if a message has expired."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final, Self

from celery.worker import request
from django.apps import AppConfig

if TYPE_CHECKING:
    from .shop import Shop

AHEAD: Final = timedelta(hours=1)


class _Ahead(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + AHEAD


class Ahead(AppConfig):
    name = __name__

    def ready(self) -> None:
        request.datetime = _Ahead  # type: ignore[assignment, attr-defined]


def install(shop: Shop) -> None:
    """In the processes that are started from now on."""
    shop.install(f"{__name__}.Ahead")
