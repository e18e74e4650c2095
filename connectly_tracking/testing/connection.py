"""Points the settings at a sandbox, whatever they say otherwise."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured

from ..attribution.clicks import landing_rows
from ..conf import VALIDATORS
from ..delivery import reset_memory
from ..sandbox import Sandbox
from ..wakeup import publisher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Settings = dict[str, Any]

#: Used if the settings have none: tests need no secret.
TEST_CREDENTIALS: Final = {
    "BUSINESS_ID": "00000000-0000-4000-8000-000000000000",
    "API_KEY": "made-up-for-tests",
}


@contextmanager
def connected(configured: Mapping[str, Any]) -> Iterator[tuple[Sandbox, Settings]]:
    """A running sandbox, and the settings that make every business send to it.

    ``configured`` is the project's ``CONNECTLY_TRACKING``.
    """
    credentials = {name: _credential(name, configured) for name in TEST_CREDENTIALS}
    reset_process()
    try:
        with Sandbox(
            business_id=credentials["BUSINESS_ID"], api_key=credentials["API_KEY"]
        ) as sandbox:
            yield sandbox, {**configured, **_changes(sandbox, credentials, configured)}
    finally:
        reset_process()


def reset_process() -> None:
    """Forget what a process remembers between requests and deliveries."""
    landing_rows.reset()
    reset_memory()
    publisher.reset()


def _changes(
    sandbox: Sandbox, credentials: dict[str, str], configured: Mapping[str, Any]
) -> Settings:
    businesses = dict.fromkeys(configured.get("BUSINESSES") or {}, credentials)
    has_default = not businesses or any(configured.get(name) for name in credentials)
    return {
        **(credentials if has_default else {}),
        "BUSINESSES": businesses,
        "BASE_URL": sandbox.url,
        "PROXIES": {},  # not those of the environment
        "SEND": True,
        "HOLD": 0,
    }


def _credential(name: str, configured: Mapping[str, Any]) -> str:
    """The project's own, if it is a valid string. A callable may ask a vault, so it is
    not called.
    """
    value = configured.get(name)
    if callable(value):
        return TEST_CREDENTIALS[name]
    try:
        VALIDATORS[name](name, value)
    except ImproperlyConfigured:
        return TEST_CREDENTIALS[name]
    return str(value)
