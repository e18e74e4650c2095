from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from tqdm import tqdm

from connectly_tracking.backfill import Counts, Interrupted, backfill
from connectly_tracking.management import console

if TYPE_CHECKING:
    from argparse import ArgumentParser

OPTIONS: Final = ("until", "business", "using", "skip", "rate", "dry_run")


class Command(BaseCommand):
    help = (
        "Record the orders that are missing, as the signal order_completed would have "
        "recorded them. It can be run again at any time, and continues after an "
        "interruption."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("path", nargs="?", help="Dotted path of a callable: (since) → orders.")
        add("--csv", metavar="FILE", help="A CSV file instead; - is standard input.")
        add("--since", type=console.parse_time, help="Only orders placed since then.")
        add("--until", type=console.parse_time, help="Only orders placed before then.")
        add(
            "--business",
            type=console.parse_business,
            help="The business of all orders.",
        )
        add("--using", choices=[*connections], help="Alias of the orders' database.")
        add(
            "--skip",
            type=console.parse_count,
            default=0,
            help="Ignore the first N orders.",
        )
        add(
            "--rate",
            type=console.parse_rate,
            help="Record at most this many orders a second.",
        )
        add("--dry-run", action="store_true", help="Write nothing.")

    def handle(self, *, path: str | None, csv: str | None, **options: Any) -> None:
        since, until = options["since"], options["until"]
        error = None
        with (
            console.GracefulStop() as stop,
            console.open_orders(path, csv, since, until) as (orders, self.size),
            tqdm(unit=" orders", disable=None, leave=False) as self.bar,
        ):
            try:
                counts = backfill(
                    orders,
                    since=None if path else since,  # the callable has seen to it
                    stop=stop.is_requested,
                    on_failure=self._say,
                    report=self._show,
                    **{name: options[name] for name in OPTIONS},
                )
            except ImproperlyConfigured as exc:
                raise CommandError(str(exc)) from exc
            except Interrupted as exc:
                counts, error = exc.counts, exc
        self.stdout.write(str(counts))
        if options["dry_run"]:
            self.stdout.write("A dry run: nothing was written.")
        if stop.signal:
            raise CommandError(
                f"Stopped by {stop.signal.name} {counts.place}. To continue, run the "
                "same command again: it does not record an order twice. To ignore the "
                f"orders so far, add --skip {options['skip'] + counts.total}.",
                returncode=128 + stop.signal,
            )
        if error or counts.failed:
            failed = f"{counts.failed} of {counts.total} orders failed."
            hint = (
                "Recorded orders are kept. Correct the problem and run this command "
                "again."
            )
            message = f"{error} {failed} {hint}" if error else f"{failed} {hint}"
            raise CommandError(message) from error

    def _say(self, order_id: str, problem: str) -> None:
        with tqdm.external_write_mode():
            self.stderr.write(f"{order_id}: {problem}")

    def _show(self, counts: Counts) -> None:
        if self.size:  # as many orders as there are if the rest is like these
            self.bar.total = counts.total * self.size // counts.offset
        self.bar.update(counts.total - self.bar.n)
