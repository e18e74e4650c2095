from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from connectly_tracking.alerts import Notice, watch


class Command(BaseCommand):
    help = (
        "Report problems that have begun or ended since the last run, through the "
        "setting ALERTS, as the Celery task does. Each is also printed, so that cron "
        "mails it."
    )

    def handle(self, **_: Any) -> None:
        untold: list[Notice] = []
        told = watch(on_untold=untold.append)
        for notice in (*told, *untold):
            self.stdout.write(f"{notice.message}\n")
        if untold:
            raise CommandError(
                f"ALERTS failed for {len(untold)} of them; the log names the error. "
                "The next run tries again."
            )
