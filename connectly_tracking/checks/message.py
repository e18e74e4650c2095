"""How a check speaks: an id of ours, what is so, and what to do about it."""

from __future__ import annotations

from django.core import checks


def error(code: str, message: str, hint: str) -> checks.Error:
    return checks.Error(message, hint=hint, id=f"connectly_tracking.{code}")


def warning(code: str, message: str, hint: str) -> checks.Warning:
    return checks.Warning(message, hint=hint, id=f"connectly_tracking.{code}")
