"""How many rows landings may write: anybody can open a tagged link, and any number.

Past a bound a click lives in the session alone, which has its values, and its row is
written at its first use: an order, a binding, a token or a login.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Rows a second that the landings of one process may write all day: a campaign brings
#: fewer.
RATE: Final = 60
#: Rows at once, after a quiet time.
BURST: Final = 2 * RATE
#: Rows of one session: nobody clicks on so many ads.
MAX_OF_SESSION: Final = 50
_LOG_INTERVAL: Final = 10.0  # seconds: a flood of landings must not be one of lines

logger = logging.getLogger(__name__)


class RowBound:
    """A token bucket. ``clock`` never goes back.

    Without a lock: two threads may take the same token, and one row more is no harm.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget all landings, as a new process would."""
        self._tokens, self._filled_at = float(BURST), self.clock()
        self._logged_at = float("-inf")

    def may_write(self, *, written: int) -> bool:
        """Whether a landing may write its row now; if so, it counts.

        ``written`` is the number of rows that landings of this session have written.
        """
        if written >= MAX_OF_SESSION:
            return self._refused("session")
        now = self.clock()
        gained = (now - self._filled_at) * RATE
        self._tokens, self._filled_at = min(self._tokens + gained, BURST), now
        if self._tokens < 1:
            return self._refused("process")
        self._tokens -= 1
        return True

    def _refused(self, bound: str) -> bool:
        now = self.clock()
        if now - self._logged_at >= _LOG_INTERVAL:
            self._logged_at = now
            logger.warning("landing_without_row bound=%s", bound)
        return False


landing_rows: Final = RowBound()
