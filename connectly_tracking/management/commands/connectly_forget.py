from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.management.base import BaseCommand, CommandError

from connectly_tracking.attribution import erase
from connectly_tracking.management.console import confirm

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
        add("--user", action="append", default=[], help="A user name; repeatable.")
        add(
            "--user-id",
            action="append",
            default=[],
            help="A user's primary key, even of a deleted user; repeatable.",
        )
        add("--order", action="append", default=[], help="An order id; repeatable.")
        add("--dry-run", action="store_true", help="Count, and change nothing.")
        add("--yes", action="store_true", help="Do not ask.")

    def handle(
        self, *, user: list[str], user_id: list[str], order: list[str], **options: Any
    ) -> None:
        if not (user or user_id or order):
            raise CommandError("Say whom to forget: --user, --user-id or --order.")
        users = [_pk_of(name) for name in user] + [_pk(text) for text in user_id]
        found = erase(users=users, orders=order, dry_run=True)
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
            confirm("Forget them?")
        under_way = erase(users=users, orders=order).under_way
        self.stdout.write("Forgotten.")
        if under_way:
            raise CommandError(
                f"{under_way} events were being sent and could not be cleared yet. "
                "Run this command again in a few minutes."
            )


def _pk_of(name: str) -> Any:
    manager: Any = get_user_model()._default_manager
    try:
        return manager.get_by_natural_key(name).pk
    except ObjectDoesNotExist:
        raise CommandError(
            f"There is no user {name!r}. For a deleted user, give the --user-id."
        ) from None


def _pk(text: str) -> Any:
    try:
        return get_user_model()._meta.pk.to_python(text)
    except ValidationError:
        raise CommandError(f"{text!r} is not the primary key of a user.") from None
