from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, close_old_connections, router
from django.db.models import Count

from connectly_tracking.conf import conf
from connectly_tracking.delivery import Tally, deliver
from connectly_tracking.management.ending import Ending
from connectly_tracking.models import Conversion

if TYPE_CHECKING:
    from argparse import ArgumentParser

DAY: Final = 86_400.0  # seconds


class Command(BaseCommand):
    help = "Send what is due, as the Celery task does, without Celery."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--loop", action="store_true", help="Go on until SIGTERM or Ctrl-C."
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Count what is due; send nothing."
        )
        parser.add_argument("--limit", type=int, help="Send at most so many events.")
        parser.add_argument(
            "--interval",
            type=float,
            default=5,
            help="Seconds between two looks at the table with --loop (default: 5).",
        )

    def handle(
        self,
        *,
        loop: bool,
        limit: int | None,
        interval: float,
        dry_run: bool,
        **_: Any,
    ) -> None:
        if limit is not None and limit < 1:
            raise CommandError("--limit must be 1 or more.")
        if not 0 < interval <= DAY:
            raise CommandError("--interval must be more than 0 and at most a day.")
        if not conf.SEND:
            raise CommandError("CONNECTLY_TRACKING['SEND'] is False: nothing is sent.")
        if dry_run:
            self._count()
            return
        total = Tally()
        with Ending() as ending:
            if not loop:
                total.update(deliver(limit=limit, stop=ending.is_asked))
            while (
                loop
                and not ending.is_asked()
                and (limit is None or total.claimed < limit)
            ):
                self._round(limit, total, ending)
                ending.wait(interval)
        self.stdout.write(f"in all: {total}" if loop else str(total))

    def _count(self) -> None:
        rows = Conversion.objects.using(router.db_for_write(Conversion))
        due = rows.due(conf.BUSINESSES).order_by("business").values_list("business")
        counts = [
            f"{business}: {count} due" for business, count in due.annotate(Count("pk"))
        ]
        self.stdout.write("\n".join(counts) or "Nothing is due.")

    def _round(self, limit: int | None, total: Tally, ending: Ending) -> None:
        close_old_connections()
        rest = None if limit is None else limit - total.claimed
        try:
            total.update(deliver(limit=rest, stop=ending.is_asked, report=self._report))
        except Error as exc:
            # A database that is away comes back; a loop that ended does not.
            self.stderr.write(f"The database failed: {type(exc).__name__}; going on.")

    def _report(self, tally: Tally) -> None:
        self.stdout.write(str(tally))
