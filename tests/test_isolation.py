"""Orders and workers whose transactions run above READ COMMITTED.

InnoDB then locks the gaps of each index that it reads, and MariaDB may refuse a row
that another transaction has changed (``innodb_snapshot_isolation``).
"""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.core.checks import run_checks
from django.db import Error, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from connectly_tracking import outbox, retention
from connectly_tracking.attribution.privacy import erase
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import claim, expire
from connectly_tracking.delivery.run import Run
from connectly_tracking.models import Conversion, DbNow, State, read_committed
from example_project.shop.models import Order

from .conftest import make_click, make_purchase
from .doctor import assert_says, codes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connectly_tracking.sandbox import Sandbox

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.server]

ORDERS: Final = 240
SHOPPERS: Final = 6
WORKERS: Final = 3

_LEVELS: Final[dict[str, list[dict[str, Any]]]] = {
    "mysql": [
        {"isolation_level": "repeatable read"},
        {"isolation_level": "serializable"},
        {"isolation_level": None},
        {
            "isolation_level": "repeatable read",
            "init_command": "SET innodb_snapshot_isolation = ON",
        },
    ],
    "postgresql": [{"isolation_level": 3}, {"isolation_level": 4}],
}
#: Settings under which a transaction is at READ COMMITTED.
_LOW: Final[dict[str, list[dict[str, Any]]]] = {
    "mysql": [{}, {"isolation_level": "read committed"}],
    "postgresql": [{}, {"isolation_level": 2}],
}
LEVELS: Final = _LEVELS.get(connection.vendor, [])
LOW: Final = _LOW.get(connection.vendor, [])


@pytest.fixture
def set_options(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    """Give all connections of the test some OPTIONS, as the project would."""
    settings = connections["default"].settings_dict

    def set_options(options: dict[str, Any]) -> None:
        known = settings.get("OPTIONS", {})
        monkeypatch.setitem(settings, "OPTIONS", {**known, **options})
        connection.close()

    yield set_options
    connection.close()


@pytest.fixture(params=LEVELS, ids=lambda it: "-".join(map(str, it.values())))
def isolated(request: pytest.FixtureRequest, set_options: Any) -> None:
    set_options(request.param)


def deliver_all(_: int) -> None:
    deliver()


def keep_house(number: int) -> None:
    """What commands do beside the workers."""
    expire(Run.begin(), "default", 5)
    retention.prune()
    outbox.replay(Conversion.objects.filter(state=State.SKIPPED))
    erase(orders=[f"ORD-{number}-{random.randrange(20)}"])


def buy_while(work: Callable[[int], None]) -> tuple[list[str], list[str]]:
    """Place orders while others work. Returns the errors of both."""
    click, is_closed = make_click(), threading.Event()
    orders_ended, work_ended = list[str](), list[str]()

    def buy(shopper: int) -> None:
        for number in range(ORDERS // SHOPPERS):
            order_id = f"ORD-{shopper}-{number}"
            try:
                with transaction.atomic():
                    Order.objects.create(number=order_id, total=1, currency="USD")
                    outbox.record(make_purchase(order_id), attribution=click)
            except Error as exc:
                orders_ended.append(f"{order_id}: {exc}")

    def go_on(number: int) -> None:
        while not is_closed.is_set():
            try:
                work(number)
            except Error as exc:
                work_ended.append(str(exc))

    def run(function: Callable[[int], None], number: int) -> None:
        try:
            function(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(SHOPPERS + WORKERS) as pool:
        working = [pool.submit(run, go_on, number) for number in range(WORKERS)]
        try:
            list(pool.map(partial(run, buy), range(SHOPPERS)))
        finally:
            is_closed.set()
        for worker in working:
            worker.result()
    return orders_ended, work_ended


def test_no_order_is_ended_by_a_claim_and_no_claim_by_another(
    isolated: None, sandbox: Sandbox, configure: Any
) -> None:
    configure(BATCH=16, THREADS=4)
    assert buy_while(deliver_all) == ([], [])
    deliver()
    assert set(Conversion.objects.values_list("state", flat=True)) == {State.DELIVERED}
    assert sandbox.received_count == Conversion.objects.count() == ORDERS


@pytest.mark.skipif(connection.vendor != "mysql", reason="InnoDB's isolation")
def test_a_claim_reads_no_other_table_in_the_statement_that_locks(
    isolated: None, sandbox: Sandbox
) -> None:
    """That read would be a snapshot: a row that has changed since is refused."""
    outbox.record(make_purchase(), attribution=make_click())
    with CaptureQueriesContext(connection) as queries:
        assert claim(Run.begin(), "default", 1)
    (locks,) = (it["sql"] for it in queries if "FOR UPDATE" in it["sql"])
    assert locks.count("SELECT") == 1


def test_no_order_is_ended_by_an_outage_that_pauses_the_business(
    isolated: None, sandbox: Sandbox, configure: Any
) -> None:
    configure(BATCH=16, THREADS=4, PROBE_SCHEDULE=[0.01], RETRY_SCHEDULE=[0.01])
    sandbox.behave("500", times=60)
    assert buy_while(deliver_all) == ([], [])
    assert Conversion.objects.count() == ORDERS


def test_no_order_is_ended_by_a_command(isolated: None) -> None:
    orders_ended, _ = buy_while(keep_house)  # two commands may end each other
    assert not orders_ended
    assert Conversion.objects.count() == ORDERS


def test_a_transaction_of_ours_sees_what_others_commit_meanwhile(
    isolated: None,
) -> None:
    click, seen = make_click(), list[int]()
    outbox.record(make_purchase("ORD-1"), attribution=click)

    def change() -> None:
        try:
            Conversion.objects.update(due_at=DbNow(-5), attempts=3)
        finally:
            connections.close_all()

    def read_twice() -> None:
        rows = Conversion.objects.values_list("attempts", flat=True)
        seen.append(rows.get())
        with ThreadPoolExecutor(1) as pool:
            pool.submit(change).result()
        seen.append(rows.get())

    with read_committed("default"):
        read_twice()
    assert seen == [0, 3]


@pytest.mark.parametrize("options", LEVELS, ids=str)
def test_check_names_the_level_and_the_remedy(
    set_options: Any, options: dict[str, Any]
) -> None:
    set_options(options)
    (found,) = [it for it in run_checks() if it.id == "connectly_tracking.W014"]
    assert "read committed" in found.msg
    assert "isolation_level" in (found.hint or "")
    assert "database_isolation" not in codes()


@pytest.mark.parametrize("options", LOW, ids=str)
def test_read_committed_is_nothing_to_speak_of(
    set_options: Any, options: dict[str, Any]
) -> None:
    set_options(options)
    assert "connectly_tracking.W014" not in {it.id for it in run_checks()}
    assert "database_isolation" not in codes()


def test_a_level_of_the_servers_own_is_found_by_the_doctor(set_options: Any) -> None:
    if connection.vendor == "mysql":
        level = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    else:
        level = "SET default_transaction_isolation = 'repeatable read'"
    with connection.cursor() as cursor:
        cursor.execute(level)
    try:
        assert_says(codes()["database_isolation"], "warning", "at repeatable read")
    finally:
        connection.close()
