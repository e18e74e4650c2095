"""Explores larger worlds, on an in-memory database: ``python -m tests.exploration``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import django
from tqdm import tqdm

if TYPE_CHECKING:
    from .search import Bound

DESCRIPTION: Final = """\
Visits every state of a world of two workers that can be reached within these bounds,
and checks the rules in each state and each step. Without an option, several worlds are
explored, which takes minutes."""
_NUMBERS: Final = {
    "orders": "orders that are placed",
    "kills": "processes that end, before any statement",
    "failures": "answers other than a confirmation",
    "people": "cancellations, replays and withdrawals of consent",
    "skews": "jumps of the processes' clocks by 8 days",
}


def main() -> int:
    options = _options()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ["DATABASE_URL"] = "sqlite://:memory:"
    django.setup()
    logging.disable()  # of each pause
    from django.core.management import call_command

    from .search import RuleBrokenError, explore

    call_command("migrate", verbosity=0)
    for bound in _bounds(options):
        print(f"{bound}:", flush=True)  # noqa: T201
        with tqdm(unit=" states", leave=False, disable=None) as bar:

            def progress(states: int, waiting: int, bar: Any = bar) -> None:
                bar.update(states - bar.n)
                bar.set_postfix(waiting=waiting)

            try:
                report = explore(bound, progress)
            except RuleBrokenError as exc:
                print(exc)  # noqa: T201
                return 1
        print(f"    {report}", flush=True)  # noqa: T201
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m tests.exploration", description=DESCRIPTION
    )
    for name, words in _NUMBERS.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", help=words)
    parser.add_argument(
        "--interrupts",
        action="store_true",
        help="others act between the statements of a claim",
    )
    return parser.parse_args()


def _bounds(options: argparse.Namespace) -> list[Bound]:
    from .search import LARGER, Bound

    numbers = {name: getattr(options, name) for name in _NUMBERS}
    if not any(value is not None for value in numbers.values()):
        return list(LARGER)
    chosen: dict[str, Any] = {name: value or 0 for name, value in numbers.items()}
    chosen["orders"] = chosen["orders"] or 2
    return [Bound(**chosen, interrupts=options.interrupts)]


if __name__ == "__main__":
    sys.exit(main())
