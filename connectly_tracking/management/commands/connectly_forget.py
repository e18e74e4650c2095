from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError

from connectly_tracking.attribution import erase, export
from connectly_tracking.attribution.privacy import can_search_sessions
from connectly_tracking.management import console

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from connectly_tracking.attribution import Erased

_WARNING: Final = (
    "This cannot be undone. It does not affect events that Connectly has already "
    "received (ask Connectly to delete them), your backups or your logs. No customer "
    "data is in the broker."
)
_NOT_SEARCHED: Final = (
    "The sessions are not in the database, so they were not searched."
)
_COUNTS: Final = {
    "clicks": "clicks to delete",
    "stopped": "waiting reports that will not be sent",
    "emptied": "ended reports to clear",
    "under_way": "reports being sent now: run this command again in a few minutes",
    "answers": "answers of the API to delete",
    "log_entries": "entries of the admin's log to clear",
    "sessions": "sessions to remove the click from",
}


class Command(BaseCommand):
    help = (
        "Forget a customer: delete the clicks, clear the orders, and do not send those "
        "that are waiting. With --export, print what is stored as JSON instead."
    )

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
        add(
            "--click",
            **many,
            help="A click's UUID, tracking id or click id; repeatable.",
        )
        add("--export", action="store_true", help="Print the data; change nothing.")
        add("--dry-run", action="store_true", help="Count, and change nothing.")
        add("--yes", action="store_true", help="Do not ask.")

    def handle(self, **options: Any) -> None:
        customer = {
            "users": options["user"] + options["user_id"],
            "orders": options["order"],
            "clicks": options["click"],
        }
        if not any(customer.values()):
            raise CommandError(
                "Specify a customer with --user, --user-id, --order or --click."
            )
        if options["export"]:
            text = json.dumps(export(**customer), indent=2, ensure_ascii=False)
            self.stdout.write(text)
            return
        found = erase(**customer, dry_run=True)
        for name, words in _COUNTS.items():
            self.stdout.write(f"{getattr(found, name):>7} {words}")
        if options["dry_run"] or not any(found):
            if not can_search_sessions():
                self.stdout.write(_NOT_SEARCHED)
            self.stdout.write("Nothing was changed.")
            return
        self.stderr.write(_WARNING)
        if not options["yes"]:
            console.confirm("Forget this customer?")
        done = erase(**customer)
        self._say_what_is_left(done)

    def _say_what_is_left(self, done: Erased) -> None:
        if not done.under_way:
            self.stdout.write("Forgotten.")
        if not can_search_sessions():
            self.stdout.write(
                f"{_NOT_SEARCHED} A session may still refer to a deleted click. No "
                "order is credited to it, and the reference is removed the next time "
                "it is used."
            )
        self.stdout.write(
            "The customer's browser may keep the click's cookie, which contains only "
            "a signed id. It can no longer be matched to a click."
        )
        if done.under_way:
            raise CommandError(
                f"{done.under_way} reports were being sent and could not be cleared "
                "yet. Run this command again in a few minutes."
            )
