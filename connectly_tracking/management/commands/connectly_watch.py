from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from connectly_tracking.alerts import watch


class Command(BaseCommand):
    help = (
        "Tell what has gone wrong or is over since the last run, as the Celery task "
        "does: through the setting ALERTS. Prints each, so that cron mails it."
    )

    def handle(self, **_: Any) -> None:
        for notice in watch():
            self.stdout.write(f"{notice.subject_line}\n{notice.message}\n")
