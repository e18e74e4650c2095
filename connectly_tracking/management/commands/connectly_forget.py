from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.management.base import BaseCommand, CommandError

from connectly_tracking.attribution import erase
from connectly_tracking.management.arguments import confirm

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from connectly_tracking.attribution import Erased

WARNING = (
    "It cannot be undone, and what Connectly was sent already stays there: ask them to "
    "delete it, too."
)


class Command(BaseCommand):
    help = "Forget a person's clicks, and do not send what waits of their orders."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--user", action="append", default=[], help="A user's name; repeatable.")
        add(
            "--user-id",
            action="append",
            default=[],
            help="A user's primary key, also of one that is deleted; repeatable.",
        )
        add("--order", action="append", default=[], help="An order's id; repeatable.")
        add("--dry-run", action="store_true", help="Count, and change nothing.")
        add("--yes", action="store_true", help="Do not ask.")

    def handle(
        self,
        *,
        user: list[str],
        user_id: list[str],
        order: list[str],
        dry_run: bool,
        yes: bool,
        **_: Any,
    ) -> None:
        if not (user or user_id or order):
            raise CommandError("Say whom: --user, --user-id or --order.")
        users = [_key_of(name) for name in user] + [_key(text) for text in user_id]
        found = erase(users=users, orders=order, dry_run=True)
        self._say(found)
        if dry_run or not any(found):
            self.stdout.write("Nothing was changed.")
            return
        self.stderr.write(WARNING)
        if not yes:
            confirm("Forget them?")
        done = erase(users=users, orders=order)
        self.stdout.write("Forgotten.")
        if done.under_way:
            raise CommandError(
                f"{done.under_way} were just being sent and keep their body until "
                "their worker is done: run this command again in a few minutes."
            )

    def _say(self, found: Erased) -> None:
        for count, words in (
            (found.clicks, "clicks to delete"),
            (found.stopped, "events to stop before they are sent"),
            (found.emptied, "finished events to empty"),
            (found.under_way, "events under way, not to be tried again"),
        ):
            self.stdout.write(f"{count:>7} {words}")


def _key_of(name: str) -> Any:
    manager: Any = get_user_model()._default_manager
    try:
        return manager.get_by_natural_key(name).pk
    except ObjectDoesNotExist:
        raise CommandError(
            f"There is no user {name!r}. Of one that is deleted give the --user-id."
        ) from None


def _key(text: str) -> Any:
    try:
        return get_user_model()._meta.pk.to_python(text)
    except ValidationError:
        raise CommandError(f"{text!r} is no user's primary key.") from None
