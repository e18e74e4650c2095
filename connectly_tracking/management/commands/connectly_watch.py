from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from connectly_tracking.alerts import watch


class Command(BaseCommand):
    help = (
        "Report problems that have begun or ended since the last run, through the "
        "setting ALERTS, as the Celery task does. Each is also printed, so that cron "
        "mails it."
    )

    def handle(self, **_: Any) -> None:
        for notice in watch():
            self.stdout.write(f"{notice.message}\n")
