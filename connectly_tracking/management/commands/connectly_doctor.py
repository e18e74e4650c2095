from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError

from connectly_tracking.doctor import (
    Level,
    Trial,
    as_json,
    as_lines,
    examine,
    exit_status,
    probe,
)
from connectly_tracking.management.console import parse_business, parse_click

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from connectly_tracking.conf import Business
    from connectly_tracking.doctor import Finding

    from ...api.landing import Landing

PROBE: Final = (
    "An event that Connectly must refuse is sent once for each business. A 400, which "
    "is the good answer, may be counted in Connectly's own statistics."
)
TEST: Final = (
    "This purchase of 1.00 USD is sent once, as above. Connectly may count it, "
    "whatever it answers, and has no call that takes it back."
)


class Command(BaseCommand):
    help = "Say what keeps orders from flowing, and what to do about it."
    requires_system_checks = ()  # they are part of what it says

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--business",
            type=parse_business,
            help="Only what belongs to this alias of the settings.",
        )
        ask = parser.add_mutually_exclusive_group()
        ask.add_argument(
            "--probe", action="store_true", help="Ask the API, with no real event."
        )
        ask.add_argument(
            "--send-test", action="store_true", help="Send a purchase of 1.00 USD."
        )
        add("--click", type=parse_click, help="A tagged link, for --send-test.")
        add("--json", action="store_true", help="For machines.")
        add("--yes", action="store_true", help="Do not ask.")

    def handle(
        self,
        *,
        business: str | None,
        click: Landing | None,
        json: bool,
        **chosen: Any,
    ) -> None:
        if click and not chosen["send_test"]:
            raise CommandError("--click goes with --send-test.")
        findings, ready = examine(business)
        if chosen["probe"] or chosen["send_test"]:
            trials = _trials(ready, click, is_test=chosen["send_test"])
            self._ask(trials, **chosen, json=json)
            findings += [found for trial in trials for found in probe(trial)]
        self._say(findings, json=json)
        sys.exit(exit_status(findings))

    def _ask(
        self, trials: list[Trial], *, send_test: bool, yes: bool, json: bool, **_: Any
    ) -> None:
        """On stderr, since stdout is the report's."""
        if send_test:
            (self.stderr if json else self.stdout).write(trials[0].body)
        self.stderr.write(TEST if send_test else PROBE, self.style.WARNING)
        if yes:
            return
        self.stderr.write("Send it? [y/N] ", ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() != "y":
            raise CommandError("Nothing was sent. Without a terminal, say --yes.")

    def _say(self, findings: list[Finding], *, json: bool) -> None:
        if json:
            self.stdout.write(as_json(findings))
            return
        paint = {
            Level.OK: self.style.SUCCESS,
            Level.WARNING: self.style.WARNING,
            Level.ERROR: self.style.ERROR,
        }
        encoding = getattr(self.stdout, "encoding", None) or "utf-8"
        for line in as_lines(findings, paint):
            # A terminal may lack what others' words are made of.
            fit = line.encode(encoding, "backslashreplace").decode(encoding)
            self.stdout.write(fit)


def _trials(
    ready: list[Business], click: Landing | None, *, is_test: bool
) -> list[Trial]:
    if not ready:
        raise CommandError("No business can be sent for: run it without this option.")
    if not is_test:
        return [Trial.probe(business) for business in ready]
    if len(ready) > 1:
        names = ", ".join(business.alias for business in ready)
        raise CommandError(f"Say for which --business: {names}.")
    return [Trial.purchase(ready[0], click)]
