"""Reads the project's ``CONNECTLY_TRACKING``, and values of the usual types from it."""

from __future__ import annotations

from copy import copy
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django_stubs_ext import StrOrPromise

MAX_SECONDS: Final = 100 * 365 * 86400
MIN_SECONDS: Final = 1e-6  # the resolution of a timedelta
#: Seconds. A socket cannot wait for a month.
MAX_CLOCK: Final = 86400


class SettingsReader:
    """``CONNECTLY_TRACKING``, read on each access unless this is a snapshot."""

    _raw: Mapping[str, Any] | None = None

    @property
    def raw(self) -> Mapping[str, Any]:
        """The dictionary as the project wrote it."""
        if self._raw is not None:
            return self._raw
        raw = getattr(settings, "CONNECTLY_TRACKING", {})
        if not isinstance(raw, dict):
            del raw  # a debug page shows the variables, and it may be the key
            raise ImproperlyConfigured(_("CONNECTLY_TRACKING must be a dictionary."))
        return raw

    def snapshot(self) -> Self:
        """Return the settings as they are now, for the whole of a run.

        A wrong setting raises ImproperlyConfigured when it is read, not here.
        """
        snapshot = copy(self)
        snapshot._raw = MappingProxyType({**self.raw})
        return snapshot

    def _bool(self, name: str, *, default: bool) -> bool:
        value = self.raw.get(name, default)
        if not isinstance(value, bool):
            raise improper(name, _("must be True or False"))
        return value

    def _int(self, name: str, *, default: int, maximum: int) -> int:
        value = self.raw.get(name, default)
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not 1 <= value <= maximum
        ):
            raise improper(
                name, _("must be a whole number from 1 to {maximum}"), maximum=maximum
            )
        return value

    def _seconds(self, name: str, *, default: float, allow_zero: bool = False) -> float:
        return _to_seconds(name, self.raw.get(name, default), allow_zero=allow_zero)

    def _clock(self, name: str, *, default: float) -> float:
        seconds = self._seconds(name, default=default)
        if seconds > MAX_CLOCK:
            raise improper(name, _("must be at most a day"))
        return seconds

    def _duration(self, name: str, *, default: timedelta) -> timedelta:
        return timedelta(seconds=_to_seconds(name, self.raw.get(name, default)))

    def _optional_duration(self, name: str, *, default: timedelta) -> timedelta | None:
        value = self.raw.get(name, default)
        return None if value is None else timedelta(seconds=_to_seconds(name, value))

    def _schedule(self, name: str, *, default: tuple[float, ...]) -> tuple[float, ...]:
        waits = self.raw.get(name, default)
        if not isinstance(waits, (list, tuple)) or not waits:
            raise improper(
                name, _("must be a list of durations, such as [30, 60, 300]")
            )
        schedule = tuple(_to_seconds(name, wait) for wait in waits)
        if list(schedule) != sorted(schedule):
            raise improper(name, _("must be in ascending order"))
        return schedule

    def _callable(self, name: str) -> Callable[..., Any] | None:
        value = self.raw.get(name)
        if isinstance(value, str) and all(map(str.isidentifier, value.split("."))):
            try:
                value = import_string(value)
            except ImportError as exc:
                raise improper(
                    name, _("cannot be imported: {error}"), error=exc
                ) from exc
            except Exception as exc:
                problem = _("cannot be imported: its module raised {error}")
                raise improper(name, problem, error=type(exc).__name__) from exc
        if value is not None and not callable(value):
            path = f'"shop.tracking.{name.lower()}"'
            problem = _("must be a callable or its path, such as {path}")
            raise improper(name, problem, path=path)
        return value


def setting_path(name: str) -> str:
    """Return a setting as a project writes it; a dot leads into a dictionary."""
    return "CONNECTLY_TRACKING" + "".join(f"[{key!r}]" for key in name.split("."))


def improper(
    name: str, problem: StrOrPromise, **details: object
) -> ImproperlyConfigured:
    """Return the exception to raise. Its text begins with the setting's name, and is in
    the reader's language: settings may be read before there are translations.
    """
    known = {key: str(value) for key, value in details.items()}
    problem = format_lazy(problem, **known) if known else problem
    return ImproperlyConfigured(format_lazy("{} {}.", setting_path(name), problem))


def _to_seconds(name: str, value: object, *, allow_zero: bool = False) -> float:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if (
        not isinstance(value, (int, float))
        or isinstance(value, bool)
        or not 0 <= value <= MAX_SECONDS
        or (value < MIN_SECONDS and not (value == 0 and allow_zero))
    ):
        raise improper(
            name,
            _(
                "must be a timedelta or a number of seconds, 0 or greater, and at most "
                "100 years"
            )
            if allow_zero
            else _(
                "must be a timedelta or a number of seconds, greater than 0, and at "
                "most 100 years"
            ),
        )
    return float(value)
