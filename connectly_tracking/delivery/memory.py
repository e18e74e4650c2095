"""What a process remembers from one run to the next."""

from __future__ import annotations

from . import breaker, run
from .send import windows


def start_afresh() -> None:
    """Forget it, as a new process would."""
    windows.clear()
    breaker._refused.clear()
    run._looked_at.clear()
