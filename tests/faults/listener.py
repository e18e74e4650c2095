"""A shop's own app that writes down which of our signals it hears, one a line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig
from django.conf import settings

from connectly_tracking import signals

from .process import until

if TYPE_CHECKING:
    from .shop import Shop


class Heard:
    """What the processes hear that are started from now on."""

    def __init__(self, shop: Shop, directory: Path) -> None:
        self._file = directory / "heard"
        self._file.touch()
        shop.install(f"{__name__}.Listener", HEARD=str(self._file))

    def signals(self, *, at_least: int) -> list[str]:
        """Each as its name and whom it concerns, once there are so many."""

        def lines() -> list[str]:
            return self._file.read_text().splitlines()

        until(lambda: len(lines()) >= at_least)
        return lines()


class Listener(AppConfig):
    """Into the file that ``HEARD`` names, from each process that hears one."""

    name = __name__

    def ready(self) -> None:
        signals.conversion_failed.connect(_failed)
        signals.delivery_paused.connect(_paused)
        signals.delivery_resumed.connect(_resumed)


def _failed(*, conversion: Any, **_: object) -> None:
    _write("failed", conversion.order_id, conversion.reason)


def _paused(*, business: str, reason: str, **_: object) -> None:
    _write("paused", business, reason)


def _resumed(*, business: str, **_: object) -> None:
    _write("resumed", business)


def _write(*words: str) -> None:
    with Path(settings.HEARD).open("a") as heard:  # type: ignore[misc]
        heard.write(" ".join(words) + "\n")
