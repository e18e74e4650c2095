"""P13: a worker's statements, for one order and in bulk: ``benchmarks.statements``.

The task runs in this process, so that its statements can be counted; each BEGIN and
COMMIT is one more round trip. A single order meets a worker whose connection Celery has
closed, as around each task. The CPU time is that of this process.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from . import rows as orders
from .command import command
from .line import Line
from .shop import shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .line import Round
    from .shop import Shop

ROUNDS: Final = 15
SMALL: Final = {"rows": 64, "single": 2}
CHECK: Final = {"rows": 640, "single": 10}

LINES: Final = (
    Line(
        name="A single order: statements",
        of="single statements",
        goal=6,
        bound=4,
    ),
    Line(name="A single order: round trips", of="single trips", bound=6),
    Line(name="A single order: CPU", of="single CPU", unit="ms", goal=4),
    Line(
        name="A single order: from the task's start until the POST arrives",
        of="single until the POST",
        unit="ms",
        goal=6,
    ),
    Line(name="A single order: the whole task", of="single", unit="ms"),
    Line(
        name="P13 an order of a backlog: statements of the worker",
        of="backlog statements",
        goal=0.33,
        bound=0.15,
    ),
    Line(name="P13 an order of a backlog: round trips", of="backlog trips"),
    Line(name="An order of a backlog: CPU, one process", of="backlog CPU", unit="ms"),
)


@contextmanager
def subject(
    *, rows: int = 1280, single: int = 20, database: str = "postgres"
) -> Iterator[Callable[[], Round]]:
    with shop(database) as made:

        def measure() -> Round:
            return _singles(made, single) | _backlog(made, rows)

        orders.record(range(16))
        _deliver()  # modules are loaded, and all threads have connected
        yield measure


def _deliver() -> None:
    from connectly_tracking.conf import conf
    from connectly_tracking.delivery import deliver

    deliver(seconds=conf.LEASE / 2)


def _singles(made: Shop, times: int) -> dict[str, float]:
    """The medians over some orders, one after the other."""
    from statistics import median

    from django.db import connection

    each: list[tuple[float, float, float]] = []
    statements = []
    for number in range(times + 1):
        orders.clear()
        orders.record([number])
        made.api.reset(0.0)
        if number == 0:
            statements = _counted(_deliver)
            continue
        connection.close()
        began = time.monotonic(), time.process_time()
        _deliver()
        ended, computed = time.monotonic(), time.process_time() - began[1]
        (arrived,) = made.api.arrivals().values()
        each.append((ended - began[0], arrived - began[0], computed))
    whole, until, computing = (median(part) * 1000 for part in zip(*each, strict=True))
    return {
        "single": whole,
        "single until the POST": until,
        "single CPU": computing,
        **_counts("single", statements, 1),
    }


def _backlog(made: Shop, count: int) -> dict[str, float]:
    statements = _counted(lambda: _sent(made, count))
    began = _sent(made, count)
    return {
        **_counts("backlog", statements, count),
        "backlog CPU": 1000 * (time.process_time() - began) / count,
    }


def _counts(name: str, statements: list[str], orders: int) -> dict[str, float]:
    ours = [sql for sql in statements if sql not in {"BEGIN", "COMMIT"}]
    return {
        f"{name} statements": len(ours) / orders,
        f"{name} trips": len(statements) / orders,
    }


def _sent(made: Shop, count: int) -> float:
    """Send a backlog. Returns the CPU time at which it began."""
    from django.db import connection

    orders.clear()
    orders.record(range(count))
    made.api.reset(0.0)
    connection.queries_log.clear()
    began = time.process_time()
    _deliver()
    assert not orders.is_any_undelivered()
    if connection.queries_log:
        connection.queries_log.pop()  # the question just asked
    return began


def _counted(action: Callable[[], object]) -> list[str]:
    from collections import deque

    from django.db import connection

    connection.queries_log = deque()  # which keeps 9,000 otherwise
    connection.force_debug_cursor = True
    try:
        action()
        return [query["sql"] for query in connection.queries_log]
    finally:
        connection.force_debug_cursor = False
        connection.queries_log.clear()


if __name__ == "__main__":
    command("statements")
