"""One, two and four workers, and what is busy first: ``python -m benchmarks.scale``.

A worker is two processes of 16 threads. Beside the rate are the CPU times of an order:
of the workers, of PostgreSQL and of the API; together they cannot be more than the
cores have. Then what an order leaves in the database, and what a landing does.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from . import history, rows
from .command import command
from .database import server_pid
from .drain import Ours, drain
from .line import Line
from .shop import PROCESSES, THREADS, computing, shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import Model

    from .line import Round
    from .shop import Shop

ROUNDS: Final = 3
SMALL: Final = {"orders": 100, "delays": "0", "workers": "1", "stored": 200}
#: It has one worker and one delay, so most lines are left out.
SMALL_IS_PARTIAL: Final = True
DELAYS: Final = (0, 20, 100)  # ms
WORKERS: Final = (1, 2, 4)
PARTS: Final = {
    "": "",
    " CPU": "the workers",
    " database": "PostgreSQL",
    " API": "the API",
}

LINES: Final = (
    *(
        Line(
            name=f"{count} worker{'s' * (count > 1)}, API of {delay} ms"
            + (f": CPU of {part} for an order" if part else ""),
            of=f"{count} at {delay}{figure}",
            unit="ms" if part else "/s",
        )
        for delay in DELAYS
        for count in WORKERS
        for figure, part in PARTS.items()
    ),
    Line(
        name="On disk for an order, with its attempt, once it was delivered",
        of="order size",
        unit="bytes",
    ),
    Line(
        name="On disk for an order after `VACUUM FULL`", of="packed size", unit="bytes"
    ),
    Line(name="On disk for a click", of="click size", unit="bytes"),
    Line(
        name="Written ahead (WAL) for an order and its delivery",
        of="written",
        unit="bytes",
    ),
)


@contextmanager
def subject(
    *,
    orders: int = 2000,
    delays: str = "0,20,100",
    workers: str = "1,2,4",
    stored: int = 20_000,
) -> Iterator[Callable[[], Round]]:
    with shop("postgres", broker=True) as made:
        server = server_pid()

        def measure() -> Round:
            found = _stored(stored)
            for count in map(int, workers.split(",")):
                with made.for_a_while() as crew:
                    started = [crew.start_worker(f"worker{it}") for it in range(count)]
                    sender = Ours(pids=[it.pid for it in started])
                    drain(made, sender, count * PROCESSES * THREADS * 8, 0.0)
                    for delay in map(int, delays.split(",")):
                        each = _drained(made, sender, server, orders * count, delay)
                        found |= {
                            f"{count} at {delay}{name}": value
                            for name, value in each.items()
                        }
            return found

        yield measure


def _drained(
    made: Shop, sender: Ours, server: int, orders: int, delay: int
) -> dict[str, float]:
    """The rate, and the CPU ms of an order, by `PARTS`."""
    processes = {" database": server, " API": made.api.pid}
    before = {name: computing(pid) for name, pid in processes.items()}
    sent = drain(made, sender, orders, delay / 1000)
    return {
        "": sent.rate,
        " CPU": sent.cpu_ms,
        **{
            name: 1000 * (computing(pid) - before[name]) / orders
            for name, pid in processes.items()
        },
    }


def _stored(orders: int) -> dict[str, float]:
    """Bytes that an order and a click take, when sent by this process."""
    from connectly_tracking.delivery import deliver
    from connectly_tracking.models import Attribution, Conversion, DeliveryAttempt

    rows.clear()
    empty, began = _size(Conversion, DeliveryAttempt), _position()
    rows.record(range(orders))
    deliver()
    assert not rows.is_any_undelivered()
    found = {
        "written": (_position() - began) / orders,
        "order size": (_size(Conversion, DeliveryAttempt) - empty) / orders,
    }
    _vacuum(Conversion, DeliveryAttempt)
    found["packed size"] = (_size(Conversion, DeliveryAttempt) - empty) / orders
    rows.clear()
    clicks = _size(Attribution)
    history.fill(orders)
    found["click size"] = (_size(Attribution) - clicks) / orders
    for model in (Attribution, Conversion):
        model._base_manager.all()._raw_delete("default")
    _vacuum(Attribution, Conversion)
    return found


def _size(*models: type[Model]) -> int:
    """Bytes of the tables with their indexes."""
    return sum(
        _asked(f"SELECT pg_total_relation_size('{model._meta.db_table}')")
        for model in models
    )


def _position() -> int:
    """Bytes that the database has written ahead since it was made."""
    return _asked("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")


def _vacuum(*models: type[Model]) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        for model in models:
            cursor.execute(f"VACUUM FULL {model._meta.db_table}")


def _asked(sql: str) -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.fetchone()[0])


if __name__ == "__main__":
    command("scale")
