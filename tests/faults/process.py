"""A process of the shop, and how a test waits for it."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TypeVar

from example_project.demo.child import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")

GLANCE = 0.05  # seconds between two looks at what is waited for
PATIENCE = 60.0  # seconds; for a machine that has other things to do


class Process(Child):
    """Leads a group of its own, and says ``ready_words`` in its log once it is up.

    ``senders``: how many processes of the group deliver. The kernel ends it with the
    thread that started it, so that has to be one that lasts.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environ: dict[str, str],
        ready_words: str = "",
        senders: int = 0,
    ) -> None:
        super().__init__(name, command, log=log, environ=environ)
        self.log = log
        self.ready_words = ready_words
        self.senders = senders

    def ready(self) -> Self:
        """Wait until it is up. Raises RuntimeError with its last words if it ends."""
        until(lambda: self.has_ended or self.has_said(self.ready_words))
        if self.has_ended:
            raise RuntimeError(f"{self.name} ended: {self.ending}. {self.last_words}")
        return self

    def ended(self) -> Self:
        """Wait until it has ended by itself. Raises RuntimeError where that is bad."""
        until(lambda: self.has_ended)
        if self.ending != "exit status 0":
            raise RuntimeError(f"{self.name} ended: {self.ending}. {self.last_words}")
        return self

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL to the whole group, by its id; returns once the leader is gone."""
        self.end(0)

    def pause(self) -> None:
        """SIGSTOP to the whole group."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGCONT)


def until(condition: Callable[[], T], *, seconds: float = PATIENCE) -> T:
    """Once it is true, what ``condition`` returns."""
    end, waiting = time.monotonic() + seconds, threading.Event()
    while not (result := condition()):
        if time.monotonic() >= end:
            raise TimeoutError(f"not so within {seconds:g} s")
        waiting.wait(GLANCE)
    return result
