"""What a process remembers from one run to the next."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime


class Windows:
    """How many requests each business may have under way: from 1 to THREADS."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._pauses: dict[str, datetime | None] = {}

    def size(self, business: str) -> int:
        return self._sizes.get(business, 1)

    def grow(self, business: str, limit: int) -> None:
        self._sizes[business] = min(self.size(business) + 1, limit)

    def shrink(self, business: str) -> None:
        self._sizes.pop(business, None)

    def note_pause(self, business: str, changed_at: datetime | None) -> None:
        """Begin with 1 again after any pause, even one that only other workers saw."""
        if self._pauses.get(business) != changed_at:
            self.shrink(business)
        self._pauses[business] = changed_at

    def reset(self) -> None:
        self._sizes.clear()
        self._pauses.clear()


class LastTimes:
    """When something last happened, by a key of strings."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, ...], float] = {}

    def note(self, *key: str) -> None:
        self._times[key] = time.monotonic()

    def is_within(self, seconds: float, *key: str) -> bool:
        """Whether it happened so few seconds ago."""
        at = self._times.get(key)
        return at is not None and time.monotonic() < at + seconds

    def reset(self) -> None:
        self._times.clear()


windows: Final = Windows()
#: When Connectly refused our settings, by business and fingerprint.
refusals: Final = LastTimes()
#: When a paused business had no row that was too old, by business.
fruitless_expiries: Final = LastTimes()


def reset_memory() -> None:
    """Forget everything, as a new process would."""
    windows.reset()
    refusals.reset()
    fruitless_expiries.reset()
