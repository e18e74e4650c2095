"""Pruning beside checkouts: ``python -m benchmarks.prune``.

Orders are placed one after the other, alone and while `connectly_prune` deletes old
rows in another process.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from statistics import quantiles
from typing import TYPE_CHECKING, Final

from . import history
from .checkout import Pages
from .command import command
from .line import Line
from .shop import shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .line import Round

ROUNDS: Final = 3
SMALL: Final = {"rows": 200}
LEAST: Final = 20  # checkouts in a row

LINES: Final = (
    Line(
        name="Prune: orders deleted a second, each with its click", of="rate", unit="/s"
    ),
    Line(
        name="Checkout while it prunes: p50",
        of="p50 meanwhile",
        beside="p50 alone",
        unit="ms",
        goal=1.5,
    ),
    Line(
        name="Checkout while it prunes: p99",
        of="p99 meanwhile",
        beside="p99 alone",
        unit="ms",
        goal=2.0,
    ),
    Line(name="Checkout while it prunes: p99", of="p99 meanwhile", unit="ms"),
)


@contextmanager
def subject(
    *, rows: int = 30_000, database: str = "postgres"
) -> Iterator[Callable[[], Round]]:
    with shop(database, broker=True):
        pages = Pages()
        pages.round(3)

        def measure() -> Round:
            _fill(rows)
            meanwhile = list[float]()
            began = time.monotonic()
            with subprocess.Popen(
                [sys.executable, "-m", "django", "connectly_prune"],
                stdout=subprocess.DEVNULL,
            ) as child:
                while child.poll() is None or len(meanwhile) < LEAST:
                    meanwhile.append(pages.checkout(broker=False)[0] / 1000)
                assert child.returncode == 0
            took = time.monotonic() - began
            alone = [
                pages.checkout(broker=False)[0] / 1000
                for _ in range(max(LEAST, len(meanwhile) // 2))
            ]
            pages.forget()
            found = {"rate": rows / took}
            for name, times in {"meanwhile": meanwhile, "alone": alone}.items():
                cuts = quantiles(times, n=100, method="inclusive")
                found |= {f"p50 {name}": cuts[49], f"p99 {name}": cuts[98]}
            return found

        yield measure


def _fill(rows: int) -> None:
    """A history, all of it older than what is kept."""
    from datetime import timedelta

    from django.db.models import F

    from connectly_tracking.models import Attribution, Conversion

    history.fill(rows)
    past = timedelta(days=2 * history.DAYS)
    Attribution.objects.update(captured_at=F("captured_at") - past)
    for name in ("recorded_at", "event_time", "delivered_at"):
        Conversion.objects.update(**{name: F(name) - past})


if __name__ == "__main__":
    command("prune")
