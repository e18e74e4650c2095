"""Several threads, each with a connection of its own, as several processes have."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.api.verdicts import Outcome, Verdict
from connectly_tracking.attribution import bind_order
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import claim
from connectly_tracking.delivery.run import Run
from connectly_tracking.delivery.send import Result
from connectly_tracking.delivery.settle import Settlement
from connectly_tracking.events import ViewContent
from connectly_tracking.models import (
    Attribution,
    Conversion,
    DeliveryAttempt,
    State,
)
from connectly_tracking.signals import order_completed
from example_project.shop.models import Order

from .conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import RequestFactory

    from connectly_tracking.models import ConversionQuerySet
    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)
#: A reader that cannot become a writer is refused at once, however long a lock may be
#: waited for on a crowded machine.
PATIENT_LOCK: dict[str, Any] = {"timeout": 60}


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run it in so many threads that begin together; raises what they raise."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        try:
            barrier.wait(20)
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_requests_that_complete_the_same_order_at_once_make_one_row() -> None:
    click = make_click()
    for round_ in range(10):

        def complete(number: int, order_id: str = f"ORD-{round_}") -> int:
            with transaction.atomic():
                Order.objects.create(
                    number=f"{order_id}-{number}", total=1, currency="USD"
                )
                return outbox.record(make_purchase(order_id), attribution=click).pk

        assert len(set(at_once(4, complete))) == 1
    assert Conversion.objects.count() == 10
    assert Order.objects.count() == 40


def test_the_click_and_the_webhook_at_once_end_in_a_pending_row() -> None:
    click = make_click()
    for round_ in range(10):

        def complete(number: int, order_id: str = f"ORD-{round_}") -> None:
            with transaction.atomic():
                outbox.record(
                    make_purchase(order_id), attribution=click if number else None
                )

        at_once(2, complete)
    assert set(Conversion.objects.values_list("state", flat=True)) == {State.PENDING}


def test_many_claimers_send_each_row_once(sandbox: Sandbox, configure: Any) -> None:
    count = 200 if connection.vendor == "postgresql" else 80
    configure(BATCH=7, THREADS=2)
    click = make_click()
    for number in range(count):
        outbox.record(make_purchase(f"ORD-{number}"), attribution=click)
    at_once(8, lambda _: deliver())
    deliver()
    sent = Counter(received.order_id for received in sandbox.requests)
    assert len(sent) == count
    assert set(sent.values()) == {1}
    assert set(Conversion.objects.values_list("state", flat=True)) == {State.DELIVERED}


def test_fifty_nudges_for_one_row_are_one_request(sandbox: Sandbox) -> None:
    outbox.record(make_purchase(), attribution=make_click())
    for _ in range(5):
        at_once(10, lambda _: deliver())
    assert sandbox.received_count == 1


@pytest.mark.sqlite
@pytest.mark.parametrize("mode", [{}, {"transaction_mode": "DEFERRED"}])
def test_on_sqlite_orders_that_begin_with_our_signal_do_not_lock_each_other_out(
    monkeypatch: pytest.MonkeyPatch, mode: dict[str, str]
) -> None:
    # As in a project that ignored the check.
    options = PATIENT_LOCK | mode
    monkeypatch.setitem(connections["default"].settings_dict, "OPTIONS", options)
    connection.close()
    click = make_click()
    attribution = str(click.pk)  # found by a query, so that our part begins with a read

    def shop(worker: int) -> None:
        for number in range(25):
            with transaction.atomic():
                order_id = f"ORD-{worker}-{number}"
                order_completed.send(
                    sender=Order,
                    purchase=make_purchase(order_id),
                    attribution=attribution,
                )
                Order.objects.create(number=order_id, total=1, currency="USD")

    at_once(4, shop)
    connection.close()
    assert Order.objects.count() == Conversion.objects.count() == 100


@pytest.mark.sqlite
def test_on_sqlite_clicks_that_come_after_their_orders_do_not_lock_each_other_out(
    monkeypatch: pytest.MonkeyPatch, rf: RequestFactory
) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "OPTIONS", PATIENT_LOCK)
    connection.close()
    click = make_click()
    request = rf.get("/")
    request.user = User.objects.create(username="ada")
    Attribution.objects.update(user=request.user)

    def shop(worker: int) -> None:
        for number in range(10):
            order_id = f"ORD-{worker}-{number}"
            outbox.record(make_purchase(order_id))
            if number % 2:
                assert bind_order(request, order_id)
            else:
                outbox.record(make_purchase(order_id), attribution=click)

    at_once(4, shop)
    connection.close()
    assert Conversion.objects.filter(state=State.PENDING).count() == 40


@pytest.mark.sqlite
def test_on_sqlite_views_do_not_lock_each_other_out(
    monkeypatch: pytest.MonkeyPatch, rf: RequestFactory
) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "OPTIONS", PATIENT_LOCK)
    connection.close()
    request = rf.get("/")
    request.user = User.objects.create(username="ada")
    make_click(user=request.user)

    def look(worker: int) -> None:
        for number in range(10):
            view = ViewContent(content_ids=[f"sku-{worker}-{number}"])
            outbox.record(view, request=request)

    at_once(4, look)
    connection.close()
    assert Conversion.objects.count() == 40


@pytest.mark.postgres
def test_a_click_pruned_while_the_order_is_open_does_not_cost_the_order(
    sandbox: Sandbox,
) -> None:
    click = make_click()
    with transaction.atomic():
        Order.objects.create(number="ORD-1", total=1, currency="USD")
        outbox.record(make_purchase("ORD-1"), attribution=click)
        at_once(1, lambda _: Attribution.objects.all().delete())
    assert Order.objects.filter(number="ORD-1").exists()
    deliver()
    assert Conversion.objects.get().state == State.DELIVERED


@pytest.mark.server
def test_a_click_that_comes_late_waits_for_whoever_holds_its_order(
    rf: RequestFactory,
) -> None:
    row = outbox.record(make_purchase())
    request = rf.get("/")
    request.user = User.objects.create(username="ada")
    make_click(user=request.user)

    def bind() -> None:
        try:
            assert bind_order(request, row.order_id)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Conversion.objects.select_for_update().get()
            bound = pool.submit(bind)
            time.sleep(0.5)
            assert not bound.done()
        bound.result(20)
    assert Conversion.objects.get().state == State.PENDING


@pytest.mark.postgres
def test_an_order_that_waits_for_its_commit_is_not_sent(sandbox: Sandbox) -> None:
    click = make_click()
    with transaction.atomic():
        outbox.record(make_purchase(), attribution=click)
        at_once(1, lambda _: deliver())
        assert sandbox.received_count == 0
    deliver()
    assert sandbox.received_count == 1


@pytest.mark.server
def test_a_result_whose_row_a_cancellation_holds_is_written_last() -> None:
    click = make_click()
    for number in range(3):
        outbox.record(make_purchase(f"ORD-{number}"), attribution=click)
    run, now = Run.begin(), timezone.now()
    batch = claim(run, "default", 3)
    assert batch is not None
    held, let_go = threading.Event(), threading.Event()

    def cancel(_: int) -> None:
        with transaction.atomic():
            outbox.cancel("ORD-1")
            held.set()
            let_go.wait(20)

    customer = threading.Thread(target=lambda: at_once(1, cancel))
    customer.start()
    held.wait(20)
    settlement = Settlement(run, batch)
    assert settlement.write(
        [
            Result(
                row=row,
                verdict=Verdict(outcome=Outcome.CONFIRMED),
                started_at=now,
                finished_at=now,
            )
            for row in batch.rows
        ]
    )
    assert settlement.tally == {State.DELIVERED: 2}
    assert DeliveryAttempt.objects.count() == 2
    threading.Timer(0.2, let_go.set).start()
    settlement.write_busy()
    customer.join()
    assert settlement.tally == {State.DELIVERED: 3}
    assert Conversion.objects.get(order_id="ORD-1").cancelled_at is not None
    assert not DeliveryAttempt.objects.exclude(outcome="confirmed").exists()


@pytest.mark.postgres
def test_a_lost_connection_costs_no_answer(sandbox: Sandbox) -> None:
    outbox.record(make_purchase(), attribution=make_click())
    sandbox.behave("delay:0.5")
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid

    def end(_: int) -> None:
        sandbox.wait_for(lambda s: s.received_count == 1)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])

    admin = threading.Thread(target=lambda: at_once(1, end))
    admin.start()
    assert deliver() == {State.DELIVERED: 1}
    admin.join()
    assert sandbox.received_count == 1


@pytest.mark.server
def test_no_row_is_claimed_in_the_middle_of_a_withdrawal() -> None:
    outbox.record(make_purchase(), attribution=make_click())
    claimed = list[Any]()

    def claim_first(execute: Any, sql: str, *more: Any) -> Any:
        if sql.startswith("UPDATE") and not claimed:
            claimed.extend(at_once(1, lambda _: claim(Run.begin(), "default", 1)))
        return execute(sql, *more)

    with transaction.atomic(), connection.execute_wrapper(claim_first):
        assert Conversion.objects.all().mark_withdrawn() == 1
    assert claimed == [None]


def test_a_worker_that_is_slow_does_not_keep_others_from_their_rows(
    sandbox: Sandbox, configure: Any
) -> None:
    configure(BATCH=1)
    click = make_click()
    for name in ("slow", "fast"):
        outbox.record(make_purchase(name), attribution=click)
    sandbox.behave("delay:5", order_id="slow")
    began = time.monotonic()
    worker = threading.Thread(target=lambda: at_once(1, lambda _: deliver(limit=1)))
    worker.start()
    sandbox.wait_for(lambda s: s.received_count == 1)
    deliver()
    took = time.monotonic() - began
    worker.join()
    assert took < 4.5
    assert sandbox.received_count == 2


@pytest.mark.postgres
def test_an_old_transaction_does_not_slow_the_next_batch_down() -> None:
    click = make_click()
    outbox.record(make_purchase(), attribution=click)
    row, run, now = Conversion.objects.get(), Run.begin(), timezone.now()
    copies = []
    for number in range(1500):
        row.pk, row.key = None, f"copy-{number}"
        row.due_at = now - timedelta(seconds=2000 - number)
        copies.append(copy(row))
    Conversion.objects.bulk_create(copies)
    since = now - timedelta(seconds=600)

    def pages(rows: ConversionQuerySet) -> int:
        look = rows.values_list("pk")[:64].explain(analyze=True, buffers=True)
        return sum(map(int, re.findall(r"(?:hit|read)=(\d+)", look.splitlines()[1])))

    held, let_go = threading.Event(), threading.Event()

    def look_and_wait(_: int) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            Conversion.objects.count()
            held.set()
            let_go.wait(60)

    old = threading.Thread(target=lambda: at_once(1, look_and_wait))
    old.start()
    held.wait(20)
    Conversion.objects.filter(due_at__lt=since).update(
        state=State.DELIVERED, due_at=None
    )
    due = run.conversions.due(["default"])
    assert len(due) < 700
    try:
        assert pages(due.filter(due_at__gte=since)) * 3 < pages(due)
    finally:
        let_go.set()
        old.join()


@pytest.mark.server
def test_an_invalid_order_that_gets_its_click_just_then_is_kept(configure: Any) -> None:
    configure(RECORD_UNATTRIBUTED=False, STRICT=False)
    outbox.record(make_purchase(currency="EURO"))
    click, read = make_click(), list[str]()

    def view_in_between(
        execute: Any, sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        result = execute(sql, params, many, context)
        if "connectly_tracking_conversion" in sql and not read:
            read.append(sql)
            at_once(1, lambda _: outbox.record(make_purchase(), attribution=click))
        return result

    with connection.execute_wrapper(view_in_between):
        outbox.record(make_purchase())
    assert "SELECT" in read[0]
    assert Conversion.objects.get().state == State.PENDING
