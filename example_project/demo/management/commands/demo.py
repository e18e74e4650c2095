from __future__ import annotations

import os
import sys
from math import inf
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from example_project.demo import broker, environment
from example_project.demo.run import run
from example_project.demo.supervisor import Interruption, Supervisor, end_requests

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from example_project.demo.report import Report


class Command(BaseCommand):
    help = "Follow a customer from the ad to Connectly's sandbox; nothing is kept."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="End when delivered.")
        parser.add_argument("--json", action="store_true", help="Print a line of JSON.")
        parser.add_argument(
            "--history", action="store_true", help="Also fill the last thirty days."
        )

    def handle(self, *, once: bool, json: bool, history: bool, **_: Any) -> None:
        if environment.DIRECTORY not in os.environ:
            # Start again, since settings are read only once.
            command = [sys.executable, os.fspath(settings.BASE_DIR / "manage.py")]
            command += sys.argv[1:]
            os.execve(sys.executable, command, environment.fresh())  # noqa: S606
        self._progress = self.stderr if json else self.stdout
        report = None
        with (
            end_requests() as requested,
            environment.directory() as directory,
            broker.cleaned_up(),
            Supervisor(directory, requested) as supervisor,
        ):
            try:
                report = run(supervisor, self._say, with_history=history)
                self._tell(report, as_json=json, stays=not once)
                if not once:
                    self._say("Press Ctrl-C to stop.")
                    supervisor.until(lambda: False, seconds=inf)
            except Interruption:
                self._say("Stopping")
        if report is None:
            raise CommandError("The demo was interrupted.", returncode=130)
        if not report.is_delivered:
            raise CommandError("The order was not delivered.")

    def _tell(self, report: Report, *, as_json: bool, stays: bool) -> None:
        heading = self.style.MIGRATE_HEADING
        text = report.as_text(heading, stays=stays)
        self.stdout.write(report.as_json() if as_json else f"\n{text}\n")
        self.stdout.flush()

    def _say(self, words: str) -> None:
        self._progress.write(words, style_func=str)
        self._progress.flush()
