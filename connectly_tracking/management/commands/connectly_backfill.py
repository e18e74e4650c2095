from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from connectly_tracking.backfill import Counts, Interrupted, backfill
from connectly_tracking.management.arguments import (
    business_of,
    count_of,
    orders_in,
    orders_since,
    rate_of,
    time_of,
)
from connectly_tracking.management.ending import Ending
from connectly_tracking.management.progress import Progress

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable

CHOICES = ("since", "until", "business", "using", "skip", "rate", "dry_run")


class Command(BaseCommand):
    help = (
        "Record the orders that are missing, as their own signal would have. It may be "
        "run again at any time, and goes on where it was interrupted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("path", nargs="?", help="Dotted path of a callable: (since) → orders.")
        add("--csv", metavar="FILE", help="A CSV file instead; - is standard input.")
        add("--since", type=time_of, help="Only those placed since then.")
        add("--until", type=time_of, help="Only those placed before.")
        add("--business", type=business_of, help="One for all of them.")
        add("--using", choices=[*connections], help="The database.")
        add("--skip", type=count_of, default=0, help="Leave out the first so many.")
        add("--rate", type=rate_of, help="Record at most so many orders a second.")
        add("--dry-run", action="store_true", help="Write nothing.")

    def handle(self, *, path: str | None, csv: str | None, **options: Any) -> None:
        _check(path, csv, options["since"], options["until"])
        chosen = {name: options[name] for name in CHOICES}
        with Ending() as ending, ExitStack() as stack:
            orders: Iterable[Any]
            size = None
            if path is not None:
                orders = orders_since(path, chosen.pop("since"))
            else:
                orders, size = stack.enter_context(orders_in(str(csv)))
            self.progress = Progress(self.stderr, whole=size)
            counts, broken = self._run(orders, stop=ending.is_asked, **chosen)
        self.stdout.write(str(counts))
        if chosen["dry_run"]:
            self.stdout.write("A dry run: nothing was written.")
        if ending.asked:
            words = _words(ending.asked.name, counts, chosen["skip"])
            raise CommandError(words, returncode=128 + ending.asked)
        if broken or counts.failed:
            words = f"{broken or ''} {counts.failed} of {counts.total} orders failed."
            hint = "What was recorded stays; run this again."
            raise CommandError(f"{words.strip()} {hint}") from broken

    def _run(
        self, orders: Iterable[Any], **chosen: Any
    ) -> tuple[Counts, Interrupted | None]:
        try:
            counts = backfill(orders, on_failure=self._say, report=self._show, **chosen)
        except ImproperlyConfigured as exc:
            raise CommandError(str(exc)) from exc
        except Interrupted as exc:
            return exc.counts, exc
        else:
            return counts, None
        finally:
            self.progress.clear()

    def _say(self, order_id: str, error: str) -> None:
        self.progress.clear()
        self.stderr.write(f"{order_id}: {error}")

    def _show(self, counts: Counts) -> None:
        self.progress.show(counts.total, counts.offset)


def _check(
    path: str | None, csv: str | None, since: datetime | None, until: datetime | None
) -> None:
    if (path is None) == (csv is None):
        raise CommandError(
            "Name either a callable, by its dotted path, or a file with --csv."
        )
    if path is not None and since is None:
        raise CommandError("--since is missing: the callable is asked for what is new.")
    if since is not None and since > datetime.now(UTC):
        raise CommandError("--since lies in the future: no order is missing yet.")
    if since is not None and until is not None and until <= since:
        raise CommandError("--until must be later than --since.")


def _words(signal: str, counts: Counts, skipped: int) -> str:
    place = f"after order {counts.last}" if counts.last else "before the first order"
    return (
        f"Stopped by {signal} {place}: run the same command again to go on. Orders "
        "that have their row are passed over; to leave out even to look at them, add "
        f"--skip {skipped + counts.total}."
    )
