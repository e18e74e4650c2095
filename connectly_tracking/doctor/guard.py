"""A check that itself fails is a finding, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

from .finding import found, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .finding import Finding, Subject


def guarded(subject: Subject, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What it finds, also where it raises half-way."""
    findings: list[Finding] = []
    try:
        findings.extend(check())
    except Exception as exc:  # noqa: BLE001 - the other checks go on
        if _is_of_our_settings(exc):
            return findings  # which their own check says, once
        words = one_line(f"{type(exc).__name__}: {exc}")
        text = f"This could not be examined to the end: {words}"
        findings.append(found(subject, "check_failed", text))
    return findings


def _is_of_our_settings(exc: Exception) -> bool:
    """And not of the database's, say, whose driver is missing."""
    ours = str(exc).startswith("CONNECTLY_TRACKING")
    return isinstance(exc, ImproperlyConfigured) and ours
