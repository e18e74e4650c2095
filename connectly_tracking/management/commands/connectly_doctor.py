from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connectly_tracking.doctor import (
    Level,
    ProbeRequest,
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

PROBE: Final = gettext_lazy(
    "This sends an invalid event once for each business. Connectly must refuse it; the "
    "refusal, status 400, may be counted in Connectly's own statistics."
)
TEST: Final = gettext_lazy(
    "This sends the purchase above (1.00 USD) once. Connectly may count the purchase "
    "even if it refuses it, and it cannot be withdrawn."
)


class Command(BaseCommand):
    help = (
        "Find out why orders are not sent, and say what to do about it. If API_KEY is "
        "a callable, it is called."
    )
    requires_system_checks = ()  # they are part of the report

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--business",
            type=parse_business,
            help="Examine only the business with this alias.",
        )
        ask = parser.add_mutually_exclusive_group()
        ask.add_argument(
            "--probe",
            action="store_true",
            help="Send an invalid event to the API, to check the key and the business.",
        )
        ask.add_argument(
            "--send-test",
            action="store_true",
            help="Send a purchase of 1.00 USD to the API.",
        )
        add("--click", type=parse_click, help="The tagged link to use for --send-test.")
        add("--json", action="store_true", help="Print the report as JSON.")
        add("--yes", action="store_true", help="Send without asking.")

    def handle(
        self,
        *,
        business: str | None,
        click: Landing | None,
        json: bool,
        **chosen: Any,
    ) -> None:
        if click and not chosen["send_test"]:
            raise CommandError(_("--click needs --send-test."))
        findings, ready = examine(business)
        if chosen["probe"] or chosen["send_test"]:
            requests = _requests(ready, click, is_test=chosen["send_test"])
            self._confirm(requests[0], **chosen, json=json)
            findings += [finding for request in requests for finding in probe(request)]
        self._print(findings, json=json)
        sys.exit(exit_status(findings))

    def _confirm(
        self,
        request: ProbeRequest,
        *,
        send_test: bool,
        yes: bool,
        json: bool,
        **_others: Any,
    ) -> None:
        """Ask on stderr, since the report is on stdout. CommandError unless "y"."""
        if send_test:
            (self.stderr if json else self.stdout).write(request.body)
        self.stderr.write(str(TEST if send_test else PROBE), self.style.WARNING)
        if yes:
            return
        self.stderr.write(_("Send it? [y/N] "), ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() != "y":
            raise CommandError(_("Nothing was sent. Use --yes to send without asking."))

    def _print(self, findings: list[Finding], *, json: bool) -> None:
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
            # The terminal may not be able to show every character of an answer.
            fit = line.encode(encoding, "backslashreplace").decode(encoding)
            self.stdout.write(fit)


def _requests(
    ready: list[Business], click: Landing | None, *, is_test: bool
) -> list[ProbeRequest]:
    if not ready:
        raise CommandError(
            _("No business is ready to send. Run the command without this option.")
        )
    if not is_test:
        return [ProbeRequest.invalid(business) for business in ready]
    if len(ready) > 1:
        names = ", ".join(business.alias for business in ready)
        text = _("Choose a business with --business: %(names)s.") % {"names": names}
        raise CommandError(text)
    return [ProbeRequest.purchase(ready[0], click)]
