from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from connectly_tracking.conf import conf
from connectly_tracking.sandbox.__main__ import main

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Run a fake Connectly that knows this project's business and key."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host", default="127.0.0.1", help="The address to listen on (127.0.0.1)."
        )
        parser.add_argument(
            "--port", default="0", help="0 (the default) is any free port."
        )
        parser.add_argument(
            "--business", default="default", help="An alias in the settings."
        )
        parser.add_argument("--log", help="Append each request to this file as JSON.")
        parser.add_argument("--delay", default="0", help="Seconds before each answer.")
        parser.add_argument(
            "--behave",
            action="append",
            default=[],
            help="How to misbehave, such as 500*2 or drip; repeatable.",
        )

    def handle(
        self, *, business: str, behave: list[str], log: str | None, **options: Any
    ) -> None:
        try:
            known = conf.business(business)
        except ImproperlyConfigured as exc:
            raise CommandError(str(exc)) from exc
        arguments = [
            f"--{name}={options[name]}" for name in ("host", "port", "delay")
        ] + [f"--behave={behaviour}" for behaviour in behave]
        if log:
            arguments.append(f"--log={log}")
        raise SystemExit(
            main(
                [
                    *arguments,
                    f"--business-id={known.business_id}",
                    f"--api-key={known.api_key.reveal()}",
                ]
            )
        )
