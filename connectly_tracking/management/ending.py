"""A command that is told to end finishes what it has in hand."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)


class Ending:
    """Notes SIGTERM or Ctrl-C while it is entered; a second one ends at once.

    ``asked`` is the signal, or None.
    """

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        # Not an Event: a handler that comes while its lock is held would wait for ever.
        self._news = SimpleQueue[None]()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._note) for number in NUMBERS
            }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def is_asked(self) -> bool:
        return self.asked is not None

    def wait(self, seconds: float) -> None:
        """Until it is asked for, or so long."""
        if not self.is_asked():
            with suppress(Empty):
                self._news.get(timeout=seconds)

    def _note(self, number: int, _frame: object) -> None:
        self.asked = signal.Signals(number)
        self._news.put(None)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
