"""A database that many use: ended backends, idle connections, long transactions."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, closing, contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.db import connection

from connectly_tracking.conf import DEFAULT_BUSINESS
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.run import Run
from connectly_tracking.models import Conversion

from .audit import audit
from .backlog import pile_up
from .cluster import cluster_in_use
from .crew import hire
from .shop import CLOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .shop import Shop

pytestmark = pytest.mark.server

ENDED_EVERY: Final = 0.15  # seconds
IDLE: Final = 300
PINNED_ROUNDS: Final = 20  # of delivered orders, while an old transaction is open
POLLS: Final = 50

_ENDS: Final = {
    "postgresql": (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1",
        "SELECT pg_terminate_backend({})",
    ),
    "mysql": (
        "SELECT id FROM information_schema.processlist WHERE db = DATABASE()"
        " AND id <> CONNECTION_ID() ORDER BY rand() LIMIT 1",
        "KILL {}",
    ),
}
_SNAPSHOT: Final = {
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "mysql": "START TRANSACTION WITH CONSISTENT SNAPSHOT",
}


@pytest.fixture
def room(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """How many idle connections there may be: 300, where the server is the test's."""
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@max_connections")
            yield min(IDLE, int(cursor.fetchone()[0]) - 30)
        return
    with cluster_in_use(monkeypatch) as cluster:
        _run(connection, f"ALTER SYSTEM SET max_connections = {IDLE + 50}")
        cluster.stop()
        cluster.start()
        yield IDLE


def test_f44_a_steady_stream_of_ended_backends_loses_nothing(shop: Shop) -> None:
    told = shop.orders(150)
    shop.sandbox.delay = 0.05
    hire(shop)
    ended, is_over = 0, threading.Event()
    began = time.monotonic()
    while Conversion.objects.exclude(due_at=None).exists():
        ended += _end_one()
        is_over.wait(ENDED_EVERY)
        assert time.monotonic() - began < 60, shop.describe()
    assert ended > 5
    audit(shop, told, in_flight=ended * 2 * CLOCKS["THREADS"])
    _say(f"{ended} backends ended in {time.monotonic() - began:.1f} s, none lost")


@pytest.mark.usefixtures("patient")
def test_f45_idle_connections_do_not_slow_a_delivery(room: int, shop: Shop) -> None:
    alone = _seconds_of(lambda: _deliver(pile_up(100, name="ALONE")))
    with ExitStack() as idle:
        for _ in range(room):
            _run(idle.enter_context(_other_connection()), "SELECT 1")
        beside = _seconds_of(lambda: _deliver(pile_up(100, name="BESIDE")))
    _say(f"100 orders: {alone:.2f} s, with {room} idle connections {beside:.2f} s")
    assert beside < 2 * alone + 1


@pytest.mark.usefixtures("patient")
def test_f46_a_transaction_that_pins_old_rows_does_not_make_polls_dear(
    shop: Shop,
) -> None:
    before = _poll_time()
    with _other_connection() as other:
        _run(other, _SNAPSHOT[connection.vendor])
        _run(other, "SELECT COUNT(*) FROM connectly_tracking_conversion")
        for number in range(PINNED_ROUNDS):
            _deliver(pile_up(50, name=f"PINNED-{number}"))
        pinned = _poll_time()
    rows = Conversion.objects.count()
    _say(
        f"an idle poll: {before * 1000:.2f} ms, and {pinned * 1000:.2f} ms after"
        f" {rows} deliveries whose old versions are pinned"
    )
    assert pinned < 10 * before + 0.02


@pytest.mark.usefixtures("patient")
def test_f47_readers_under_repeatable_read_hold_up_nobody(shop: Shop) -> None:
    told = pile_up(100)
    with ExitStack() as stack:
        for _ in range(10):
            reader = stack.enter_context(_other_connection())
            _run(reader, _SNAPSHOT[connection.vendor])
            _run(
                reader,
                "SELECT COUNT(*), MIN(due_at) FROM connectly_tracking_conversion",
            )
        took = _seconds_of(lambda: _deliver(told))
    _say(f"100 orders beside 10 open readers: {took:.2f} s")
    assert took < 10


def _deliver(told: list[str]) -> None:
    assert deliver() == {"delivered": len(told)}


def _seconds_of(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _poll_time() -> float:
    run = Run.begin()
    return median(_seconds_of(lambda: _assert_idle(run)) for _ in range(POLLS))


def _assert_idle(run: Run) -> None:
    assert not run.is_any_due([DEFAULT_BUSINESS])


def _end_one() -> int:
    find, end = _ENDS[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(find)
        found = cursor.fetchone()
        if found:
            cursor.execute(end.format(found[0]))
    return int(found is not None)


@contextmanager
def _other_connection() -> Iterator[Any]:
    other = connection.copy()
    other.connect()
    with closing(other):
        yield other


def _run(other: Any, sql: str) -> None:
    with other.cursor() as cursor:
        cursor.execute(sql)
        if cursor.description:
            cursor.fetchall()


def _say(words: str) -> None:
    print(words)  # noqa: T201 - a figure, shown with -s
