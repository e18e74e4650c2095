"""The businesses' ids and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from ..conf import DEFAULT_BUSINESS, VALIDATORS, conf, setting_path
from .message import error, warning
from .settings import SETTING_IDS

if TYPE_CHECKING:
    from django.core.checks import CheckMessage


def check_credentials(**_: Any) -> list[CheckMessage]:
    """What is given must be right; what is missing only stops the sending."""
    return [
        warning(
            "W001",
            f"{name} is missing: clicks and orders are recorded, nothing is sent.",
            "Take it from the environment; the key never belongs into the code.",
        )
        for name in _missing_credentials()
    ] + _wrong_credentials()


def check_credentials_deployed(**_: Any) -> list[CheckMessage]:
    """``check --deploy``: without credentials no campaign gets its credit."""
    return [
        error("E022", f"{name} is missing.", "Set it where the shop is deployed.")
        for name in _missing_credentials()
    ]


def _missing_credentials() -> list[str]:
    return [
        setting_path(f"{prefix}{key}")
        for prefix, entry in _entries()
        for key in ("BUSINESS_ID", "API_KEY")
        if not entry.get(key)
    ]


def _wrong_credentials() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for prefix, entry in _entries():
        for key, validate in VALIDATORS.items():
            value = entry.get(key)
            # A callable may ask a vault; it is called when the key is needed.
            if not value or callable(value):
                continue
            try:
                validate(f"{prefix}{key}", value)
            except ImproperlyConfigured as exc:
                hint = "Copy it from Connectly as it stands."
                found.append(error(SETTING_IDS[key], str(exc), hint))
    return found


def _entries() -> list[tuple[str, Any]]:
    try:
        businesses = conf.BUSINESSES
    except ImproperlyConfigured:
        return []  # E001 says so
    return [
        ("" if alias == DEFAULT_BUSINESS else f"BUSINESSES.{alias}.", entry)
        for alias, entry in businesses.items()
    ]
