"""Runs the benchmarks that are named, or all of them, one after the other."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import Final

from .command import add_options, run

#: All of them, in the order of the manual's page.
NAMES: Final = (
    "untagged",
    "checkout",
    "broker",
    "peers",
    "delivery",
    "post",
    "statements",
    "arrival",
    "backlog",
    "scale",
    "claim",
    "admin",
    "campaigns",
    "prune",
    "process",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", metavar="NAME", help=", ".join(NAMES))
    add_options(parser)
    chosen = parser.parse_args()
    if unknown := set(chosen.name) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    modules = [import_module(f"benchmarks.{name}") for name in chosen.name or NAMES]
    if chosen.check:
        modules = [module for module in modules if hasattr(module, "CHECK")]
    is_good = True
    for module in modules:
        print(f"\n{(module.__doc__ or '').partition(': ``')[0]}", flush=True)
        options: dict[str, object] = {}
        if chosen.small:
            options = module.SMALL
        elif chosen.check:
            options = module.CHECK
        is_good &= run(module, options, chosen)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
