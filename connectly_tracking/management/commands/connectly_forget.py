from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError

from connectly_tracking.attribution import erase
from connectly_tracking.management import console

if TYPE_CHECKING:
    from argparse import ArgumentParser

_WARNING: Final = (
    "This cannot be undone. Connectly keeps what it has already received: ask them to "
    "delete it, too."
)


class Command(BaseCommand):
    help = "Forget a person's clicks, and do not send their orders that are waiting."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        many: dict[str, Any] = {"action": "append", "default": []}
        add("--user", **many, type=console.parse_user, help="A user name; repeatable.")
        add(
            "--user-id",
            **many,
            type=console.parse_user_id,
            help="A user's primary key, even of a deleted user; repeatable.",
        )
        add(
            "--order",
            **many,
            type=console.parse_order_id,
            help="An order id; repeatable.",
        )
        add("--dry-run", action="store_true", help="Count, and change nothing.")
        add("--yes", action="store_true", help="Do not ask.")

    def handle(self, **options: Any) -> None:
        users, orders = options["user"] + options["user_id"], options["order"]
        if not (users or orders):
            raise CommandError("Say whom to forget: --user, --user-id or --order.")
        found = erase(users=users, orders=orders, dry_run=True)
        self.stdout.write(
            f"{found.clicks:>7} clicks to delete\n"
            f"{found.stopped:>7} waiting events not to send\n"
            f"{found.emptied:>7} finished events to clear\n"
            f"{found.under_way:>7} events being sent, not to be tried again"
        )
        if options["dry_run"] or not any(found):
            self.stdout.write("Nothing was changed.")
            return
        self.stderr.write(_WARNING)
        if not options["yes"]:
            console.confirm("Forget them?")
        under_way = erase(users=users, orders=orders).under_way
        self.stdout.write("Forgotten.")
        if under_way:
            raise CommandError(
                f"{under_way} events were being sent and could not be cleared yet. "
                "Run this command again in a few minutes."
            )
