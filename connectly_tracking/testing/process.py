"""What a process remembers from one delivery to the next, and tests must not share."""

from __future__ import annotations

from ..delivery import memory
from ..wakeup import publisher


def start_afresh() -> None:
    """Forget it, as a new process would; the database stays as it is."""
    memory.start_afresh()
    publisher.reset()
