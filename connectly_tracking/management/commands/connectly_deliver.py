from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, close_old_connections, router
from django.db.models import Count

from connectly_tracking.conf import conf
from connectly_tracking.delivery import Tally, deliver
from connectly_tracking.management.console import GracefulStop
from connectly_tracking.models import Conversion

if TYPE_CHECKING:
    from argparse import ArgumentParser

DAY: Final = 86_400.0  # seconds


class Command(BaseCommand):
    help = "Send the events that are due, as the Celery task does, without Celery."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--loop", action="store_true", help="Continue until SIGTERM or Ctrl-C.")
        add("--interval", type=float, default=5, help="Seconds between rounds (5).")
        add("--limit", type=int, help="Send at most this many events.")
        add("--dry-run", action="store_true", help="Count, and send nothing.")

    def handle(
        self, *, loop: bool, interval: float, limit: int | None, **options: Any
    ) -> None:
        if limit is not None and limit < 1:
            raise CommandError("--limit must be 1 or greater.")
        if not 0 < interval <= DAY:
            raise CommandError("--interval must be greater than 0, and at most a day.")
        if not conf.SEND:
            raise CommandError("CONNECTLY_TRACKING['SEND'] is False: nothing is sent.")
        if options["dry_run"]:
            self.stdout.write("\n".join(_due()) or "Nothing is due.")
            return
        total = Tally()
        with GracefulStop() as stop:
            if not loop:
                total.update(deliver(limit=limit, stop=stop.is_requested))
            while (
                loop and not stop.is_requested() and total.claimed < (limit or math.inf)
            ):
                self._round(total, limit, stop)
                stop.wait(interval)
        self.stdout.write(f"in all: {total}" if loop else str(total))

    def _round(self, total: Tally, limit: int | None, stop: GracefulStop) -> None:
        close_old_connections()
        left = None if limit is None else limit - total.claimed
        try:
            total.update(
                deliver(limit=left, stop=stop.is_requested, report=self._report)
            )
        except Error as exc:
            # The database may come back; a loop that has ended would not.
            self.stderr.write(f"Database error: {type(exc).__name__}; trying again.")

    def _report(self, tally: Tally) -> None:
        self.stdout.write(str(tally))


def _due() -> list[str]:
    rows = Conversion.objects.using(router.db_for_write(Conversion))
    due = rows.due(conf.BUSINESSES).order_by("business").values_list("business")
    return [f"{business}: {count} due" for business, count in due.annotate(Count("pk"))]
