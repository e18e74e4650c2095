"""A hundred thousand rows that wait, and a burst of orders with one wake-up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from connectly_tracking import wakeup
from connectly_tracking.conf import DEFAULT_BUSINESS, conf
from connectly_tracking.delivery.claim import claim
from connectly_tracking.delivery.run import Run
from connectly_tracking.models import Conversion, State

from ..conftest import broker_at
from .audit import audit
from .backlog import LONG, multiply, pile_up
from .process import PATIENCE
from .shop import MANAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectly_tracking.sandbox import Sandbox

    from .process import Process
    from .shop import Shop

ROWS: Final = 100_000
SENT: Final = 2_000
BURST: Final = 1_000
POLL: Final = 30.0  # seconds, of which a shop's beat lets so many pass
GROWTH: Final = 5 * 1024  # KiB

INDEX: Final = "connectly_conversion_due"


@pytest.fixture
def hundred_thousand(shop: Shop) -> None:
    pile_up(ROWS // 100)
    multiply(100)


@pytest.mark.postgres
@pytest.mark.sqlite
def test_f35_a_hundred_thousand_due_rows_are_looked_for_by_the_index(
    shop: Shop, hundred_thousand: None
) -> None:
    assert Conversion.objects.due([DEFAULT_BUSINESS]).count() == ROWS
    assert INDEX in explained(look)
    assert INDEX in explained(take)


@pytest.mark.postgres
@pytest.mark.sqlite
def test_f35_a_hundred_thousand_due_rows_are_taken_in_batches_and_in_even_memory(
    shop: Shop, hundred_thousand: None
) -> None:
    shop.configure(**LONG)
    options = ["--loop", "--interval=0.01", f"--limit={SENT}"]
    command = shop.start("command", [*MANAGE, "connectly_deliver", *options])
    shop.sandbox.wait_for(lambda s: s.event_count >= SENT / 4, timeout=PATIENCE)
    early, held = memory(command), list[int]()

    def is_nearly_done(sandbox: Sandbox) -> bool:
        held.append(Conversion.objects.filter(state=State.SENDING).count())
        return sandbox.event_count >= SENT * 0.9

    shop.sandbox.wait_for(is_nearly_done, timeout=PATIENCE)
    assert memory(command) - early < GROWTH
    # A batch, and what of the one before is under way or being written.
    assert 0 < max(held) <= conf.BATCH + 2 * conf.THREADS
    command.end(PATIENCE)
    assert command.has_said(f"in all: claimed {SENT}, delivered {SENT}")
    delivered = Conversion.objects.filter(state=State.DELIVERED)
    assert delivered.count() == shop.sandbox.received_count == SENT


def test_f43_a_burst_with_one_wakeup_is_drained_by_all_workers_at_once(
    shop: Shop,
) -> None:
    shop.configure(**LONG)
    shop.sandbox.delay = 0.05  # else the first one is done before the second one is up
    shop.broker = shop.redis().url
    workers = [shop.worker(), shop.worker()]
    for worker in workers:
        worker.ready()
    told = pile_up(BURST)
    with broker_at(shop.broker):
        wakeup.wake()
    shop.until_quiet(seconds=POLL)
    audit(shop, told)
    assert shop.sandbox.received_count == BURST
    # Each process keeps one connection for each of its threads.
    assert shop.sandbox.connections > conf.THREADS


def look() -> None:
    assert Run.begin().is_any_due([DEFAULT_BUSINESS])


def take() -> None:
    batch = claim(Run.begin(), DEFAULT_BUSINESS, conf.BATCH)
    assert batch is not None
    assert len(batch.rows) == conf.BATCH


def explained(work: Callable[[], None]) -> str:
    """How the database reads what it selects for it; what it did is taken back."""
    with transaction.atomic():
        with CaptureQueriesContext(
            connection,
        ) as queries:
            work()
        transaction.set_rollback(True)
    (select,) = [it["sql"] for it in queries if it["sql"].startswith("SELECT")]
    how = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        cursor.execute(f"{how} {select}")
        return "\n".join(str(row) for row in cursor.fetchall())


def memory(process: Process) -> int:
    """The most that it ever had, in KiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
