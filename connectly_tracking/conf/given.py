"""The project's dictionary, and values of the usual kinds out of it.

What is wrong with one is said in the words that `checks` shows.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_SECONDS: Final = 100 * 365 * 86400


class Given:
    """``CONNECTLY_TRACKING``, read on each access unless it is a snapshot."""

    _fixed: Mapping[str, Any] | None = None

    @property
    def given(self) -> Mapping[str, Any]:
        """The dictionary as the project wrote it."""
        if self._fixed is not None:
            return self._fixed
        given = getattr(settings, "CONNECTLY_TRACKING", {})
        if not isinstance(given, dict):
            raise ImproperlyConfigured("CONNECTLY_TRACKING must be a dictionary.")
        return given

    def _get(self, name: str, default: Any) -> Any:
        return self.given.get(name, default)

    def _flag(self, name: str, *, default: bool) -> bool:
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise fault(name, "must be True or False")
        return value

    def _count(self, name: str, default: int, *, most: int) -> int:
        value = self._get(name, default)
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not 1 <= value <= most
        ):
            raise fault(name, f"must be a whole number from 1 to {most}")
        return value

    def _clock(self, name: str, default: float) -> float:
        return seconds_of(name, self._get(name, default))

    def _schedule(self, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
        waits = self._get(name, default)
        if not isinstance(waits, (list, tuple)) or not waits:
            raise fault(name, "must be a list of durations, such as [30, 60, 300]")
        schedule = tuple(seconds_of(name, wait) for wait in waits)
        if list(schedule) != sorted(schedule):
            raise fault(name, "must not decrease")
        return schedule

    def _callable(self, name: str) -> Callable[..., Any] | None:
        value = self._get(name, None)
        if isinstance(value, str):
            try:
                value = import_string(value)
            except ImportError as exc:
                raise fault(name, f"cannot be imported: {exc}") from exc
        if value is not None and not callable(value):
            raise fault(name, "must be a callable or its dotted path")
        return value  # type: ignore[no-any-return]


def spelled(name: str) -> str:
    """A setting as a project writes it; a dot leads into a dictionary."""
    return "CONNECTLY_TRACKING" + "".join(f"[{key!r}]" for key in name.split("."))


def fault(name: str, problem: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{spelled(name)} {problem}.")


def seconds_of(name: str, value: object, *, least: float | None = None) -> float:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if (
        not isinstance(value, (int, float))
        or isinstance(value, bool)
        or not math.isfinite(value)
        or not (value > 0 or value == least)
        or value > MAX_SECONDS
    ):
        bound = "more than zero" if least is None else f"{least:g} or more"
        raise fault(name, f"must be a timedelta or a number of seconds, {bound}")
    return float(value)
