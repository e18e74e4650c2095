"""P9, P15: a long backlog: ``python -m benchmarks.backlog --orders 100000``.

How many connections the API sees, how much memory the worker takes at the beginning and
at the end, and whether it slows down: alone, and while another connection keeps a
transaction at REPEATABLE READ open, for which PostgreSQL keeps all old versions.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from . import rows
from .command import command
from .database import server_pid
from .drain import Ours, drain
from .line import Line
from .shop import PROCESSES, THREADS, computing, shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .line import Round
    from .shop import Shop

ROUNDS: Final = 3
SMALL: Final = {"orders": 200, "first": 64}
PARTS: Final = 10

LINES: Final = (
    Line(
        name="P9 connections to the API, 2 processes of 16 threads",
        of="connections",
        goal=PROCESSES * THREADS,
    ),
    Line(
        name="P15 memory of a process after the first orders", of="memory", unit="MiB"
    ),
    Line(
        name="P15 memory at the end, beside that",
        of="memory at the end",
        beside="memory",
        unit="MiB",
        goal=1.02,
    ),
    Line(name="A backlog", of="rate", unit="/s"),
    Line(
        name="A backlog: its last tenth beside its second",
        of="last tenth",
        beside="second tenth",
        unit="/s",
        goal=0.95,
        is_least=True,
    ),
    Line(
        name="A backlog with an old transaction open",
        of="old rate",
        beside="rate",
        unit="/s",
        goal=0.9,
        is_least=True,
    ),
    Line(
        name="With an old transaction open: its last tenth beside its second",
        of="old last tenth",
        beside="old second tenth",
        unit="/s",
        goal=0.9,
        is_least=True,
    ),
    Line(name="CPU of PostgreSQL for an order", of="database CPU", unit="ms"),
    Line(
        name="CPU of PostgreSQL with an old transaction open",
        of="old database CPU",
        beside="database CPU",
        unit="ms",
    ),
)


@contextmanager
def subject(
    *, orders: int = 30_000, first: int = 1000
) -> Iterator[Callable[[], Round]]:
    with shop("postgres", broker=True) as made:
        worker, server = made.start_worker().pid, server_pid()
        sender = Ours(pids=[worker])
        drain(made, sender, first, 0.0)
        begun = _memory(worker)

        def measure() -> Round:
            found = _drained(made, sender, server, orders)
            with _old_transaction():
                old = _drained(made, sender, server, orders)
            _vacuum()
            return {
                **found,
                **{f"old {name}": value for name, value in old.items()},
                "memory": begun,
                "memory at the end": _memory(worker),
                "connections": made.api.summary()["connections"],
            }

        yield measure


def _drained(made: Shop, sender: Ours, server: int, orders: int) -> dict[str, float]:
    before = computing(server)
    rate = drain(made, sender, orders, 0.0).rate
    times = sorted(made.api.arrivals().values())
    edges = [times[len(times) * part // PARTS] for part in range(PARTS)] + times[-1:]
    part = len(times) / PARTS
    return {
        "rate": rate,
        "second tenth": part / max(edges[2] - edges[1], 1e-6),
        "last tenth": part / max(edges[-1] - edges[-2], 1e-6),
        "database CPU": 1000 * (computing(server) - before) / orders,
    }


@contextmanager
def _old_transaction() -> Iterator[None]:
    """Another connection, which keeps what is there now visible to it."""
    from django.db import connection

    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT COUNT(*) FROM connectly_tracking_circuit")
            yield
    finally:
        other.close()


def _vacuum() -> None:
    from django.db import connection

    rows.clear()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")


def _memory(pid: int) -> float:
    """MiB that the largest process of a worker has for itself or shares."""
    import psutil

    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    largest: int = max(it.memory_info().rss for it in family)
    return largest / 2**20


if __name__ == "__main__":
    command("backlog")
