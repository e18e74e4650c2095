"""From an order's commit to its arrival at the API: ``python -m benchmarks.arrival``.

Orders come at random times, so many a second on average. One worker of two processes;
the API takes 100 ms, and the arrival is when it has read the request.
"""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from statistics import quantiles
from typing import TYPE_CHECKING, Final

from . import rows
from .command import command
from .line import Line
from .shop import computing, shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .line import Round
    from .shop import Shop

ROUNDS: Final = 3
SMALL: Final = {"seconds": 0.1}
RATES: Final = (5, 20, 50)
#: The percentiles, and the goals in ms.
GOALS: Final = {50: None, 95: 30.0, 99: 60.0}

LINES: Final = (
    *(
        Line(
            name=f"Committed to arrived, {rate} orders a second: p{percent}",
            of=f"{rate} p{percent}",
            unit="ms",
            goal=goal,
        )
        for rate in RATES
        for percent, goal in GOALS.items()
    ),
    *(
        Line(
            name=f"CPU of the worker for an order, {rate} orders a second",
            of=f"{rate} CPU",
            unit="ms",
        )
        for rate in RATES
    ),
)


@contextmanager
def subject(
    *,
    rates: str = "5,20,50",
    seconds: float = 20.0,
    delay: float = 0.1,
    database: str = "postgres",
) -> Iterator[Callable[[], Round]]:
    with shop(database, broker=True) as made:
        pid = made.start_worker().pid

        def measure() -> Round:
            found = dict[str, float]()
            for rate in map(int, rates.split(",")):
                found |= _stream(made, pid, rate, seconds, delay)
            return found

        _stream(made, pid, 50, 1.0, 0.0)  # all have connected
        yield measure


def _stream(
    made: Shop, pid: int, rate: int, seconds: float, delay: float
) -> dict[str, float]:
    """Place orders. Returns the percentiles in ms, and the worker's CPU an order."""
    from django.db import transaction

    from connectly_tracking.wakeup import wake

    rows.clear()
    made.api.reset(delay)
    before = computing(pid)
    committed = dict[str, float]()
    began = time.monotonic()
    for number, moment in enumerate(_moments(rate, seconds)):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        with transaction.atomic():
            rows.record([number])
        committed[f"ORD-{number}"] = time.monotonic()
        wake()
    made.until_arrived(len(committed))
    made.until(lambda: not rows.is_any_undelivered())
    cpu = computing(pid) - before
    arrived = made.api.arrivals()
    waits = [1000 * (arrived[order] - at) for order, at in committed.items()]
    cuts = quantiles(waits, n=100, method="inclusive")
    return {
        **{f"{rate} p{percent}": cuts[percent - 1] for percent in GOALS},
        f"{rate} CPU": 1000 * cpu / len(committed),
    }


def _moments(rate: int, seconds: float) -> list[float]:
    """The times of a Poisson process, the same in each round."""
    chance = random.Random(rate)
    moments, moment = list[float](), 0.0
    while len(moments) < 2 or moment < seconds:
        moments.append(moment)
        moment += chance.expovariate(rate)
    return moments


if __name__ == "__main__":
    command("arrival")
