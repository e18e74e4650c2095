from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, close_old_connections

from connectly_tracking.conf import conf
from connectly_tracking.delivery import Tally, deliver

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator


class Command(BaseCommand):
    help = "Send what is due, as the Celery task does, without Celery."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--loop", action="store_true", help="Go on until SIGTERM or Ctrl-C."
        )
        parser.add_argument("--limit", type=int, help="Send at most so many events.")
        parser.add_argument(
            "--interval",
            type=float,
            default=5,
            help="Seconds between two looks at the table with --loop (default: 5).",
        )

    def handle(
        self, *, loop: bool, limit: int | None, interval: float, **_: Any
    ) -> None:
        if limit is not None and limit < 1:
            raise CommandError("--limit must be 1 or more.")
        if interval <= 0:
            raise CommandError("--interval must be more than 0.")
        if not conf.SEND:
            raise CommandError("CONNECTLY_TRACKING['SEND'] is False: nothing is sent.")
        stopped, total = threading.Event(), Tally()
        with _ended_by(stopped):
            if not loop:
                total.update(deliver(limit=limit, stop=stopped.is_set))
            while (
                loop
                and not stopped.is_set()
                and (limit is None or total.claimed < limit)
            ):
                self._round(limit, total, stopped)
                stopped.wait(interval)
        self.stdout.write(f"in all: {total}" if loop else str(total))

    def _round(self, limit: int | None, total: Tally, stopped: threading.Event) -> None:
        close_old_connections()
        rest = None if limit is None else limit - total.claimed
        try:
            total.update(deliver(limit=rest, stop=stopped.is_set, report=self._report))
        except DatabaseError as exc:
            # A database that is away comes back; a loop that ended does not.
            self.stderr.write(f"The database failed: {type(exc).__name__}; going on.")

    def _report(self, tally: Tally) -> None:
        self.stdout.write(str(tally))


@contextmanager
def _ended_by(stopped: threading.Event) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the work after what is in flight, and cleanly."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: stopped.set()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
