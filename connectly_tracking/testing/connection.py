"""Points the settings at a sandbox, whatever they say otherwise."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured

from .. import delivery, wakeup
from ..conf import VALIDATORS
from ..sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Settings = dict[str, Any]

#: Where the settings have none: tests need no secret.
MADE_UP: Final = {
    "BUSINESS_ID": "00000000-0000-4000-8000-000000000000",
    "API_KEY": "made-up-for-tests",
}


@contextmanager
def connected(given: Mapping[str, Any]) -> Iterator[tuple[Sandbox, Settings]]:
    """A running sandbox, and the settings that make every business send to it.

    ``given`` is ``CONNECTLY_TRACKING`` as the project wrote it. In a process that
    remembers nothing, before and after.
    """
    credentials = {name: _credential(name, given) for name in MADE_UP}
    _reset_process()
    try:
        with Sandbox(
            business_id=credentials["BUSINESS_ID"], api_key=credentials["API_KEY"]
        ) as sandbox:
            yield sandbox, {**given, **_changes(sandbox, credentials, given)}
    finally:
        _reset_process()


def _reset_process() -> None:
    """Forget what a process remembers; the database keeps its rows."""
    delivery.reset_memory()
    wakeup.start_afresh()


def _changes(
    sandbox: Sandbox, credentials: dict[str, str], given: Mapping[str, Any]
) -> Settings:
    further = dict.fromkeys(given.get("BUSINESSES") or {}, credentials)
    has_default = not further or any(given.get(name) for name in credentials)
    return {
        **(credentials if has_default else {}),
        "BUSINESSES": further,
        "BASE_URL": sandbox.url,
        "PROXIES": {},  # the machine's must not come between
        "SEND": True,
        "HOLD": 0,
    }


def _credential(name: str, given: Mapping[str, Any]) -> str:
    """The project's own, if it is a text that will do. A callable is not asked: behind
    it may be a vault.
    """
    value = given.get(name)
    if callable(value):
        return MADE_UP[name]
    try:
        VALIDATORS[name](name, value)
    except ImproperlyConfigured:
        return MADE_UP[name]
    return str(value)
