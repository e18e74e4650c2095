"""The businesses' credentials, and what of them must not be seen."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from django.core.exceptions import ImproperlyConfigured

from ..api.secret import Secret
from ..conf import conf
from .finding import Subject, found
from .patience import TooLongError, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..conf import Business
    from .finding import Finding

PATIENCE: Final = 5.0  # seconds, for a key that comes from a vault


def aliases(only: str | None = None) -> list[str]:
    """None where the settings cannot be read, which their own check says."""
    try:
        named = list(conf.BUSINESSES)
    except ImproperlyConfigured:
        return []
    return [alias for alias in named if only in (None, alias)]


def examine_businesses(
    names: Sequence[str],
) -> tuple[list[Finding], list[Business]]:
    """The findings, and those that can be sent for."""
    findings, ready = [], []
    for alias in names:
        try:
            business = within(PATIENCE, partial(conf.business, alias))
        except (ImproperlyConfigured, TooLongError) as exc:
            text = f"Nothing is sent for {alias}: {exc}"
            findings.append(found(Subject.SETTINGS, "business_not_ready", text))
        else:
            ready.append(business)
            text = f"{alias}: business {business.business_id}, with a key."
            findings.append(found(Subject.SETTINGS, "business_ready", text))
    return findings, ready


def secrets(ready: Sequence[Business]) -> list[Secret]:
    """Every key that is known, also one that cannot be used."""
    texts = {key.strip() for key in _given() if isinstance(key, str)}
    return [business.api_key for business in ready] + [Secret(it) for it in texts]


def _given() -> list[object]:
    try:
        entries = list(conf.BUSINESSES.values())
    except ImproperlyConfigured:
        with suppress(ImproperlyConfigured):
            return [conf.raw.get("API_KEY")]
        return []
    return [entry.get("API_KEY") for entry in entries]
