from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import router
from django.db.models import Count

from connectly_tracking.conf import conf
from connectly_tracking.management import console
from connectly_tracking.models import Conversion, Reason, key_of, moment
from connectly_tracking.outbox import replay

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from connectly_tracking.models import ConversionQuerySet

_WARNING: Final = (
    "Connectly may already have counted these events, even if it refused them or did "
    "not answer. They are sent again with the same order id and the same bytes."
)


class Command(BaseCommand):
    help = (
        "Send rejected, expired or skipped events again, if their click is known. "
        "Cancelled orders are only included with --order or --reason cancelled."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--order",
            action="append",
            default=[],
            type=console.parse_order_id,
            help="An order id; repeatable.",
        )
        add(
            "--state",
            choices=["rejected", "expired", "skipped"],
            help="Only events in this state.",
        )
        add("--reason", choices=Reason.values, help="Only events with this reason.")
        add("--business", type=console.parse_business, help="An alias in the settings.")
        add("--since", type=console.parse_time, help="Recorded then or later.")
        add("--until", type=console.parse_time, help="Recorded before then.")
        add("--dry-run", action="store_true", help="Count, and change nothing.")
        add("--yes", action="store_true", help="Do not ask.")

    def handle(self, *, dry_run: bool, yes: bool, **options: Any) -> None:
        rows = _select(options)
        kinds = rows.order_by("state", "reason").values_list("state", "reason")
        counts = list(kinds.annotate(Count("pk")))
        for state, reason, count in counts:
            self.stdout.write(f"{count} {state}: {Reason(reason).label}")
        if dry_run or not counts:
            self.stdout.write("Nothing was changed.")
            return
        self.stderr.write(_WARNING)
        if not yes:
            console.confirm("Send them again?")
        moved = replay(rows)
        self.stdout.write(f"To be sent again: {moved}.")
        if moved and not conf.SEND:
            self.stdout.write(
                "CONNECTLY_TRACKING['SEND'] is False: they wait until it is True."
            )


def _select(options: dict[str, Any]) -> ConversionQuerySet:
    orders, since, until = options["order"], options["since"], options["until"]
    chosen = {
        "order_id__in": orders,  # it has an index; the key is exact
        "key__in": [key_of(order_id) for order_id in orders],
        "state": options["state"],
        "reason": options["reason"],
        "recorded_at__gte": since and moment(since.timestamp()),
        "recorded_at__lt": until and moment(until.timestamp()),
    }
    if not any(chosen.values()):
        raise CommandError(
            "Choose events with --order, --state, --reason, --since or --until."
        )
    chosen["business"] = options["business"]
    if not orders and options["reason"] != Reason.CANCELLED:
        chosen["cancelled_at__isnull"] = True  # a purchase cannot be taken back
    # On the primary, since a replica may lag behind.
    rows = Conversion.objects.using(router.db_for_write(Conversion))
    filters = {field: value for field, value in chosen.items() if value}
    return rows.replayable().filter(**filters)
