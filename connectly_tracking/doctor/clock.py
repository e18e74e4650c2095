"""How far two clocks are apart, and how a time is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils import timezone

if TYPE_CHECKING:
    from datetime import datetime

APART: Final = 5.0  # seconds
FAR_APART: Final = 60.0


def skew_code(prefix: str, seconds: float) -> str | None:
    """The code for clocks that are so far apart; None where they agree."""
    if abs(seconds) <= APART:
        return None
    return f"{prefix}_clock_{'far_' * (abs(seconds) > FAR_APART)}apart"


def skew_words(whose: str, seconds: float) -> str:
    where = "ahead of" if seconds > 0 else "behind"
    return f"{whose} clock is {abs(seconds):.0f} s {where} this machine's."


def local(at: datetime) -> str:
    """In the current time zone."""
    shown = timezone.localtime(at) if timezone.is_aware(at) else at
    return shown.strftime("%Y-%m-%d %H:%M")
