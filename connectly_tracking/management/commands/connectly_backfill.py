from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from connectly_tracking.backfill import Counts, Interrupted, backfill
from connectly_tracking.management.arguments import business_of, orders_since, time_of

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Record the orders that are missing, as their own signal would have."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", help="Dotted path of a callable: (since) → orders.")
        parser.add_argument("--since", type=time_of, required=True)
        parser.add_argument("--until", type=time_of, help="Only those placed before.")
        parser.add_argument("--business", type=business_of, help="One for all of them.")
        parser.add_argument("--using", choices=[*connections], help="The database.")
        parser.add_argument("--dry-run", action="store_true", help="Write nothing.")

    def handle(self, *, path: str, since: datetime, **options: Any) -> None:
        if since > datetime.now(UTC):
            raise CommandError("--since lies in the future: no order is missing yet.")
        if options["until"] and options["until"] <= since:
            raise CommandError("--until must be later than --since.")
        names = ("until", "business", "using", "dry_run")
        chosen = {name: options[name] for name in names}
        broken: Interrupted | None = None
        try:
            orders = orders_since(path, since)
            counts = backfill(orders, on_failure=self._say, report=self._show, **chosen)
        except ImproperlyConfigured as exc:
            raise CommandError(str(exc)) from exc
        except Interrupted as exc:
            counts, broken = exc.counts, exc
        self.stdout.write(str(counts))
        if chosen["dry_run"]:
            self.stdout.write("A dry run: nothing was written.")
        if broken or counts.failed:
            words = f"{broken or ''} {counts.failed} of {counts.total} orders failed."
            hint = "What was recorded stays; run this again."
            raise CommandError(f"{words.strip()} {hint}") from broken

    def _say(self, order_id: str, error: str) -> None:
        self.stderr.write(f"{order_id}: {error}")

    def _show(self, counts: Counts) -> None:
        if self.stderr.isatty() and counts.total % 100 == 0:
            self.stderr.write(f"{counts.total} orders", ending="\r")
