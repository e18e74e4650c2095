"""Workers killed all the time, at length: ``python -m tests.faults --help``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ..__main__ import DATABASES, DEFAULT, ROOT, _url
from .report import MARKERS, has_place, table, write

DESCRIPTION: Final = """\
Places orders while workers are killed -9, one every 0.3 to 2 seconds; then lets them
recover, compares what was ordered with what arrived, and prints a table. A run that was
interrupted goes on where it was, if it has a log."""


def main() -> int:
    options = _options()
    runs = dict[str, list[dict[str, Any]]]()
    for name in options.databases:
        for seed in range(1, options.seeds + 1):
            orders = options.orders * seed // options.seeds
            orders -= options.orders * (seed - 1) // options.seeds
            figures = _resumed(options.log, name, seed, orders, options.seconds)
            if figures is None:
                return 1
            runs.setdefault(name, []).append(figures)
    text = table(list(runs.values()))
    print(f"\n{text}")  # noqa: T201
    if options.write:
        write(text, options.write)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.faults", description=DESCRIPTION)
    parser.add_argument(
        "--databases",
        nargs="+",
        choices=DATABASES,
        default=[*DEFAULT, *(["mariadb"] if "MARIADB_URL" in os.environ else [])],
        help="mariadb needs MARIADB_URL, and is among them where that is set",
    )
    parser.add_argument("--seeds", type=int, default=5, help="storms on each (5)")
    parser.add_argument(
        "--orders", type=int, default=5000, help="on each, in all its storms (5000)"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="that a storm lasts at least (60)"
    )
    parser.add_argument(
        "--write",
        type=Path,
        metavar="PAGE",
        help=f"put the table there, between {MARKERS[0]} and {MARKERS[1]}",
    )
    parser.add_argument(
        "--log",
        type=Path,
        help="a file with the figures of each run; those in it are not run again",
    )
    options = parser.parse_args()
    if not 1 <= options.seeds <= options.orders:
        parser.error("there must be a seed or more, and an order or more for each")
    if options.write and not has_place(options.write):
        parser.error(f"{options.write} has no {MARKERS[0]} … {MARKERS[1]} in it")
    return options


def _resumed(
    log: Path | None, name: str, seed: int, orders: int, seconds: float
) -> dict[str, Any] | None:
    """The figures of one storm, which the log may know already, or learns."""
    run = {"database": name, "seed": seed, "orders": orders, "least": seconds}
    if log and log.exists():
        for line in log.read_text().splitlines():
            known: dict[str, Any] = json.loads(line)
            if known["run"] == run:
                _say(known["figures"], seed)
                return dict(known["figures"])
    if (figures := _run(name, seed, orders, seconds)) is None:
        return None
    if log:
        with log.open("a") as lines:
            lines.write(json.dumps({"run": run, "figures": figures}) + "\n")
    _say(figures, seed)
    return figures


def _run(name: str, seed: int, orders: int, seconds: float) -> dict[str, Any] | None:
    """The figures of one storm; None where it failed, which it has said."""
    command = [sys.executable, "-m", "tests.faults.long_run"]
    storm = [f"--seed={seed}", f"--orders={orders}", f"--seconds={seconds}"]
    with _url(name) as url:
        environ = os.environ | {"DATABASE_URL": _with_a_name_of_its_own(url)}
        run = subprocess.Popen(
            [*command, *storm], cwd=ROOT, env=environ, stdout=subprocess.PIPE
        )
        try:
            said, _ = run.communicate()
        finally:
            run.wait()  # it was interrupted, too, and puts away what it has started
    if run.returncode:
        return None
    figures: dict[str, Any] = json.loads(said.splitlines()[-1])
    return figures


def _say(figures: dict[str, Any], seed: int) -> None:
    print(  # noqa: T201
        f"{figures['server']}, seed {seed}: {figures['orders']} orders,"
        f" {figures['lost']} lost, {figures['repeated']} requests sent again"
        f" ({figures['killed']} by a kill, {figures['cut']} without an answer,"
        f" {figures['late']} past a lease, unexplained: {figures['unexplained']}),"
        f" {figures['kills']} kills, {figures['seconds']:.0f} s",
        flush=True,
    )


def _with_a_name_of_its_own(url: str) -> str:
    """On a server that others may use, too; SQLite's file is nobody else's anyway."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return url
    name = f"connectly_faults_{uuid.uuid4().hex[:12]}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{name}{query}"


if __name__ == "__main__":
    sys.exit(main())
