"""P7, P8: how fast a worker sends a backlog: ``python -m benchmarks.delivery``.

Beside it, in each round: threads that post and do no more, and the same worker with one
Celery task for each row. A worker is two processes of 16 threads.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from .command import command
from .drain import OneTaskPerRow, Ours, drain, drain_bare
from .line import Line
from .shop import PROCESSES, THREADS, shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .line import Round

ROUNDS: Final = 5
SMALL: Final = {"rows": 64}
CHECK: Final = {"rows": 1000, "delays": "20"}

#: By the API's delay in ms: the least of the bare loop, and of a task per row.
GOALS: Final = {0: (0.70, 12.0), 20: (0.85, None), 100: (0.97, None)}


def _lines() -> Iterator[Line]:
    for delay, (of_bare, of_task) in GOALS.items():
        name = f"{'P8' if delay else 'P7'} delivery, API of {delay} ms"
        yield Line(name=name, of=f"rate {delay}", unit="/s")
        yield Line(
            name=f"{name}: beside the bare loop",
            of=f"rate {delay}",
            beside=f"bare loop {delay}",
            unit="/s",
            goal=of_bare,
            is_least=True,
        )
        yield Line(
            name=f"{name}: beside one task per row",
            of=f"rate {delay}",
            beside=f"one task per row {delay}",
            unit="/s",
            goal=of_task,
            is_least=True,
            bound=5.0 if delay == 20 else None,
        )
        yield Line(
            name=f"{name}: CPU of an order",
            of=f"CPU {delay}",
            unit="ms",
            goal=None if delay else 0.75,
        )
        yield Line(
            name=f"{name}: CPU of an order, bare loop",
            of=f"bare CPU {delay}",
            unit="ms",
        )


LINES: Final = tuple(_lines())


@contextmanager
def subject(
    *, rows: int = 2000, delays: str = "0,20,100", database: str = "postgres"
) -> Iterator[Callable[[], Round]]:
    with shop(database, broker=True) as made:
        pids = [made.start_worker().pid]
        ours, task_per_row = Ours(pids=pids), OneTaskPerRow(pids=pids)
        drain(made, ours, PROCESSES * THREADS * 8, 0.0)  # every thread has connected

        def measure() -> Round:
            found: dict[str, float] = {}
            for delay in map(int, delays.split(",")):
                seconds = delay / 1000
                sent = drain(made, ours, rows, seconds)
                bare = drain_bare(made, rows, seconds)
                # A tenth of the time of 2 processes that send one at a time.
                few = max(10, round(rows / (10 if seconds else 4)))
                by_task = drain(made, task_per_row, few, seconds)
                found |= {
                    f"rate {delay}": sent.rate,
                    f"CPU {delay}": sent.cpu_ms,
                    f"bare loop {delay}": bare.rate,
                    f"bare CPU {delay}": bare.cpu_ms,
                    f"one task per row {delay}": by_task.rate,
                }
            return found

        yield measure


if __name__ == "__main__":
    command("delivery")
