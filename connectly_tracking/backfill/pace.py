"""So many orders a second and no more."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds; a signal does not end a sleep, so that none may be long.
NAP: Final = 0.2


class Pace:
    """Lets orders through at ``rate`` a second at most; None: as they come.

    Whoever was late is not hurried afterwards, so that no second sees more.
    """

    def __init__(
        self,
        rate: float | None,
        *,
        stop: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._stop, self._clock, self._sleep = stop, clock, sleep
        self._free_at = 0.0

    def chunk(self, most: int) -> int:
        """How many orders to read ahead: a second's, since what is cancelled while an
        order queues is not heard of.
        """
        return min(most, math.ceil(1 / self._gap)) if self._gap else most

    def wait(self) -> bool:
        """Sleep until the next order may go; False where the run is to stop."""
        if not self._gap:
            return not self._stop()
        while not self._stop():
            now = self._clock()
            if now >= self._free_at:
                self._free_at = now + self._gap
                return True
            self._sleep(min(self._free_at - now, NAP))
        return False
