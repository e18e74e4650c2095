"""The database leaves in the middle of a send, and comes back."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
from django.db import connection

from connectly_tracking.models import Conversion, State

from .audit import audit
from .cluster import Cluster, cluster_in_use
from .crew import PROCESSES, hire
from .process import until
from .shop import CLOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from .shop import Shop

    Away = Callable[[], AbstractContextManager[None]]

#: What is not settled waits for its lease; no answer is waited for in vain.
SHORT: Final = {"LEASE": 6, "DEADLINE": 1.5, "READ_TIMEOUT": 1.2}
#: What each process may have sent, or be about to send, and not have settled.
IN_FLIGHT: Final = PROCESSES * 2 * CLOCKS["THREADS"]


@pytest.fixture
def cluster(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster | None]:
    """The test's own database; None of SQLite, since each test worker has its file."""
    if connection.vendor == "sqlite":
        yield None
        return
    with cluster_in_use(monkeypatch) as cluster:
        yield cluster


@pytest.fixture
def away(cluster: Cluster | None, shop: Shop) -> Away:
    """While in it, nobody can write. The worker's patience with SQLite is short."""

    @contextmanager
    def stopped() -> Iterator[None]:
        assert cluster is not None
        cluster.stop()
        yield
        cluster.start()

    @contextmanager
    def locked() -> Iterator[None]:
        name = connection.settings_dict["NAME"]
        with closing(sqlite3.connect(name, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield

    if cluster is not None:
        return stopped
    shop.set(DATABASE={"OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 0.2}})
    return locked


def await_requests(shop: Shop, count: int) -> None:
    shop.sandbox.wait_for(lambda sandbox: sandbox.received_count >= count)


def is_silent(shop: Shop) -> bool:
    """Whether nobody has sent anything for a second."""
    last = shop.sandbox.requests[-1].received_at
    return datetime.now(UTC) - last > timedelta(seconds=1)


def test_f31_a_database_that_is_away_costs_again_what_is_in_flight(
    away: Away, shop: Shop
) -> None:
    told = shop.orders(120)
    shop.configure(**SHORT)
    shop.sandbox.delay = 0.2
    hire(shop)
    await_requests(shop, 10)
    with away():
        until(lambda: is_silent(shop))
        shop.sandbox.delay = 0
    shop.until_quiet()
    audit(shop, told, in_flight=IN_FLIGHT)
    assert not Conversion.objects.exclude(state=State.DELIVERED).exists()


@pytest.mark.postgres
def test_f32_a_connection_that_is_cut_is_opened_anew(shop: Shop) -> None:
    told = shop.orders(60)
    shop.configure(**SHORT)
    shop.sandbox.delay = 0.1
    hire(shop)
    cuts = 0
    for count in (10, 25, 40):
        await_requests(shop, count)
        cuts += cut_all() > 0
    shop.until_quiet()
    audit(shop, told, in_flight=cuts * IN_FLIGHT)


def cut_all() -> int:
    """The database ends every connection but ours. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return len(cursor.fetchall())
