from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from connectly_tracking.retention import prune

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Delete old clicks and finished events, as the Celery task does."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="Count, and delete nothing."
        )

    def handle(self, *, dry_run: bool, **_: Any) -> None:
        pruned = prune(dry_run=dry_run)
        self.stdout.write(
            f"{'To be deleted' if dry_run else 'Deleted'}: "
            f"conversions {pruned.conversions}, clicks {pruned.attributions}."
        )
