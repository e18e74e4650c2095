from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from connectly_tracking.models import CampaignName
from connectly_tracking.reports.names import InvalidNames, NamesFile, store_names

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = (
        "Read the names of campaigns or ads, and Connectly's message counts, from a "
        "CSV file such as Connectly's campaign export. It can be run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--csv", metavar="FILE", required=True, help="The file; - for stdin.")
        add(
            "--kind",
            choices=CampaignName.Kind.values,
            help="Whether to read the campaigns or the ads. By default, the names of "
            "the columns decide; it is needed if they name both.",
        )
        add("--dry-run", action="store_true", help="Read the file, change nothing.")

    def handle(self, *, csv: str, **options: Any) -> None:
        with ExitStack() as stack:
            try:
                file: Any = sys.stdin.buffer
                if csv != "-":
                    file = stack.enter_context(Path(csv).open("rb"))
                names = NamesFile(file, options["kind"]).read()
            except (OSError, ValueError) as exc:  # a path may have a NUL inside
                why = getattr(exc, "strerror", None) or exc
                raise CommandError(f"{csv!r} cannot be read: {why}.") from exc
            except InvalidNames as exc:
                problem = f"{csv} cannot be used; nothing was changed:\n{exc}"
                raise CommandError(problem) from exc
        if options["dry_run"]:
            self.stdout.write(f"{len(names)} names; nothing was changed.")
            return
        new, changed = store_names(names)
        same = len(names) - new - changed
        self.stdout.write(f"{new} names are new, {changed} changed, {same} the same.")
