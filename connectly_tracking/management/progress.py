"""How far a long command is, on one line of a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.core.management.base import OutputWrapper

EVERY: Final = 0.25  # seconds between two looks


class Progress:
    """Rewrites its line a few times a second; says nothing where nobody looks.

    ``whole`` is what ``part`` ends at, in the same unit; None where nobody knows.
    """

    def __init__(
        self,
        stream: OutputWrapper,
        *,
        whole: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._whole, self._clock = stream, whole, clock
        self._is_seen = stream.isatty()
        self._began = self._shown_at = clock()
        self._width = 0

    def show(self, count: int, part: int = 0) -> None:
        """So many orders are done."""
        now = self._clock()
        if self._is_seen and now - self._shown_at >= EVERY:
            self._shown_at = now
            self._write(self._words(count, part, now - self._began))

    def clear(self) -> None:
        """Make room for other words."""
        if self._width:
            self._write("")

    def _words(self, count: int, part: int, seconds: float) -> str:
        words = f"{count:,} orders, {count / seconds:,.0f}/s"
        if self._whole:
            words += f", {min(100 * part // self._whole, 100)} %"
        return words

    def _write(self, words: str) -> None:
        line = f"\r{words:<{self._width}}" + ("" if words else "\r")
        self._stream.write(line, style_func=str, ending="")
        self._stream.flush()
        self._width = len(words)
