"""Starts child processes, watches them while it waits, and always ends them."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from django.core.management.base import CommandError

from .child import Child
from .ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")

RECHECK = 0.05  # seconds between two checks of a condition
STARTING = 30.0  # seconds that a child may take to start
ENDING = 5.0  # seconds for all children together to end
ATTEMPTS = 3  # in case another process takes the port first


class Interruption(KeyboardInterrupt):
    """Ctrl-C or another signal to stop."""


class LateError(CommandError):
    """A condition was not true in time."""


class ChildError(CommandError):
    """A child ended by itself."""

    def __init__(self, child: Child) -> None:
        super().__init__(
            f"The {child.name} ended with {child.ending}. {child.last_words}"
        )
        self.child = child


@contextmanager
def end_requests() -> Iterator[threading.Event]:
    """An event that a signal sets, checked where the demo can stop."""
    requested = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda *_: requested.set()) for number in numbers]
    try:
        yield requested
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class Supervisor:
    """``directory`` gets the logs; ``environ`` is added to that of every child."""

    def __init__(self, directory: Path, requested: threading.Event) -> None:
        self.directory = directory
        self.environ: dict[str, str] = {}
        self._requested = requested
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for child in self._children:
            child.ask_to_end()
        end = time.monotonic() + ENDING
        for child in self._children:
            child.end(max(0, end - time.monotonic()))

    def start(self, name: str, command: Sequence[str]) -> Child:
        child = Child(
            name,
            command,
            log=self.directory / f"{name}.log",
            environ=os.environ | self.environ,
        )
        self._children.append(child)
        return child

    def serve(
        self,
        name: str,
        command: Callable[[int], Sequence[str]],
        is_up: Callable[[Child, int], bool],
        *,
        attempts: int = ATTEMPTS,
    ) -> int:
        """Start a server and wait for it. Returns its port.

        If another process takes the port first, another port is tried.
        """
        port = free_port()
        child = self.start(name, command(port))
        try:
            self.until_up(child, partial(is_up, child, port))
        except ChildError as died:
            taken = died.child is child and "already in use" in child.last_words
            if not taken or attempts == 1:
                raise
            self._children.remove(child)
            child.end(0)
            return self.serve(name, command, is_up, attempts=attempts - 1)
        return port

    def until_up(self, child: Child, is_up: Callable[[], object]) -> None:
        try:
            self.until(is_up, seconds=STARTING)
        except LateError as exc:
            raise LateError(f"The {child.name}: {exc} {child.last_words}") from None

    def until(self, condition: Callable[[], T], *, seconds: float) -> T:
        """Wait until ``condition`` returns something true, and return it.

        Raises LateError after ``seconds``, and ChildError if a child ends.
        """
        end = time.monotonic() + seconds
        while True:
            if self._requested.is_set():
                raise Interruption
            for child in self._children:
                if child.has_ended:
                    raise ChildError(child)
            if result := condition():
                return result
            if time.monotonic() >= end:
                raise LateError(f"{seconds:g} seconds were not enough.")
            self._requested.wait(RECHECK)
