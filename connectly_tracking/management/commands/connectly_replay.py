from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import router
from django.db.models import Count

from connectly_tracking.management.arguments import business_of, confirm, time_of
from connectly_tracking.models import Conversion, Reason, key_of, moment
from connectly_tracking.outbox import replay

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from connectly_tracking.models import ConversionQuerySet

STATES: Final = ("rejected", "expired", "skipped")
WARNING: Final = (
    "Connectly may have counted what it refused or never answered. It is sent again "
    "with the same order id and the same bytes."
)


class Command(BaseCommand):
    help = (
        "Send again what was rejected, expired or skipped, where a click is known; "
        "what was cancelled only with --order or --reason cancelled."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--order", action="append", help="An order's id; repeatable.")
        add("--state", choices=STATES, help="Only what is in this state.")
        add("--reason", choices=Reason.values, help="Only what is there for this.")
        add(
            "--business",
            type=business_of,
            help="Only what belongs to this alias of the settings.",
        )
        add(
            "--since",
            type=time_of,
            help="Recorded then or later, such as 2026-11-01T09:30.",
        )
        add("--until", type=time_of, help="Recorded before.")
        add("--dry-run", action="store_true", help="Count, and change nothing.")
        add("--yes", action="store_true", help="Do not ask.")

    def handle(self, *, dry_run: bool, yes: bool, **chosen: Any) -> None:
        rows = _chosen(chosen)
        kinds = rows.order_by("state", "reason").values_list("state", "reason")
        for state, reason, count in (counts := list(kinds.annotate(Count("pk")))):
            self.stdout.write(f"{count} {state}: {Reason(reason).label}")
        if dry_run or not counts:
            self.stdout.write("Nothing was changed.")
            return
        self.stderr.write(WARNING)
        if not yes:
            confirm("Send them again?")
        self.stdout.write(f"To be sent again: {replay(rows)}.")


def _chosen(chosen: dict[str, Any]) -> ConversionQuerySet:
    fields = {
        "state": chosen["state"],
        "reason": chosen["reason"],
        "order_id__in": chosen["order"],  # it has an index; the key is exact
        "key__in": [key_of(order_id) for order_id in chosen["order"] or ()],
        "recorded_at__gte": chosen["since"] and moment(chosen["since"].timestamp()),
        "recorded_at__lt": chosen["until"] and moment(chosen["until"].timestamp()),
    }
    wanted = {field: value for field, value in fields.items() if value}
    if not wanted:
        raise CommandError("Say which: --order, --state, --reason, --since or --until.")
    if chosen["business"]:
        wanted["business"] = chosen["business"]
    # Where they are written: a replica may be late.
    rows = Conversion.objects.using(router.db_for_write(Conversion))
    rows = rows.filter(**wanted).replayable()
    if chosen["order"] or chosen["reason"] == Reason.CANCELLED:
        return rows
    return rows.filter(cancelled_at=None)  # a purchase cannot be taken back
