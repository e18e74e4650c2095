"""The commands: ``python -m benchmarks`` for several, ``benchmarks.NAME`` for one."""

from __future__ import annotations

import argparse
import inspect
import sys
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .rounds import measure
from .table import PAGE, ROOT, table, write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from .line import Line
    from .rounds import Measured


def command(name: str) -> None:
    """The command of one benchmark: its own options, and those of all."""
    module = import_module(f"benchmarks.{name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    defaults = inspect.signature(module.subject).parameters
    for option, parameter in defaults.items():
        parser.add_argument(
            f"--{option.replace('_', '-')}",
            type=type(parameter.default),
            default=parameter.default,
            help=f"default {parameter.default}",
        )
    chosen = vars(parser.parse_args())
    options = {option: chosen.pop(option) for option in defaults}
    if chosen["small"]:
        options |= module.SMALL
    sys.exit(0 if run(module, options, argparse.Namespace(**chosen)) else 1)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, help="default: as many as it takes")
    parser.add_argument(
        "--tree",
        type=Path,
        action="append",
        metavar="CHECKOUT",
        help="measure the package of another checkout; twice: before and after",
    )
    parser.add_argument("--small", action="store_true", help="only show that it works")
    parser.add_argument("--check", action="store_true", help="fail beyond a bound")
    parser.add_argument(
        "--write", action="store_true", help=f"put the table into {PAGE.name}"
    )


def run(
    module: ModuleType, options: Mapping[str, Any], chosen: argparse.Namespace
) -> bool:
    """Measure, print and write the table. Returns whether all bounds hold, and whether
    a small run has measured each line, unless it leaves some out.
    """
    trees = [tree.resolve() for tree in chosen.tree or [ROOT]]
    rounds = chosen.rounds or module.ROUNDS
    measured = measure(module, options, rounds=rounds, trees=trees)
    text = f"{table(module.LINES, measured.trees)}\n\n{conditions(measured, rounds)}"
    print(f"\n{text}", flush=True)
    if chosen.write:
        write(module.__name__.rpartition(".")[2], text)
    broken = beyond(module.LINES, measured) if chosen.check else []
    print("".join(f"\nbeyond its bound: {it}" for it in broken), end="")
    is_whole = chosen.small and not hasattr(module, "SMALL_IS_PARTIAL")
    missing = unmeasured(module.LINES, measured) if is_whole else []
    print("".join(f"\nnot measured: {it}" for it in missing), end="")
    return not broken + missing


def unmeasured(lines: Sequence[Line], measured: Measured) -> list[str]:
    newest = list(measured.trees.values())[-1]
    return [line.name for line in lines if not line.values(newest)]


def beyond(lines: Sequence[Line], measured: Measured) -> list[str]:
    newest = list(measured.trees.values())[-1]
    return [
        f"{line.name}, {line.limited(line.bound)}"
        for line in lines
        if line.bound is not None and not line.is_within(line.bound, newest)
    ]


def conditions(measured: Measured, rounds: int) -> str:
    """Of what the figures are, and where they were measured."""
    machine = ", ".join(measured.machine)
    of = "One round" if rounds == 1 else f"Medians of {rounds} rounds"
    return f"{of}; {machine}; {date.today().isoformat()}."  # noqa: DTZ011
