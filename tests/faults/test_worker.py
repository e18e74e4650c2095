"""Workers that die at the worst moments, and workers that are asked to end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from django.db import connection, transaction

from connectly_tracking.conf import conf
from connectly_tracking.models import Conversion, DeliveryAttempt, Reason, State

from .audit import audit
from .backlog import LONG, pile_up
from .process import PATIENCE
from .shop import POLL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from .shop import Shop

#: Leave time to kill between a request and the end of waiting for its answer.
SLOW: Final = {"LEASE": 4, "DEADLINE": 2, "READ_TIMEOUT": 2}
RESTARTS: Final = 10
GRACE: Final = 10.0  # seconds, as `docker stop` gives
BACKLOG: Final = 1_000
CRASHES: Final = 5
MARGIN: Final = 5.0  # seconds, for a machine that has other things to do

Outcome = DeliveryAttempt.Outcome


@pytest.mark.usefixtures("broker")
def test_f12_what_a_killed_worker_had_not_yet_sent_is_sent_once_after_its_lease(
    shop: Shop,
) -> None:
    in_flight, waiting = kill_with_one_in_flight(shop)
    assert requests(shop) == {in_flight: 1}
    lease_end = due_at(waiting)
    finish(shop)
    assert requests(shop)[waiting] == 1
    claimed, sent = attempts(waiting)
    assert claimed.finished_at is None
    assert sent.started_at >= lease_end


def test_f13_what_was_in_flight_when_its_worker_was_killed_is_sent_again(
    shop: Shop,
) -> None:
    shop.broker = shop.redis().url
    in_flight, _ = kill_with_one_in_flight(shop)
    lease_end = due_at(in_flight)
    finish(shop)
    assert requests(shop)[in_flight] == 2
    lost, last = attempts(in_flight)
    assert (lost.outcome, lost.finished_at) == (Outcome.UNKNOWN, None)
    assert last.outcome == Outcome.CONFIRMED
    assert last.started_at >= lease_end


def test_f14_what_was_answered_but_not_written_down_is_sent_again(shop: Shop) -> None:
    shop.configure(LEASE=6, DEADLINE=3, READ_TIMEOUT=3, THREADS=2)
    sender = shop.looper()
    warm = shop.orders(1)  # after which it sends two at a time
    shop.until_quiet()
    shop.sandbox.behave(["delay:1", "hang", "hang", "ok"])
    with transaction.atomic():  # so that it takes them together
        cold = shop.orders(3)
    shop.sandbox.wait_for(lambda s: s.received_count == 3, timeout=PATIENCE)
    with rows_locked():
        # The third request waits for the thread that has the first one's answer.
        shop.sandbox.wait_for(lambda s: s.received_count == 4, timeout=PATIENCE)
        shop.kill(sender)
    answered = shop.sandbox.events[1].order_id
    assert answered in cold
    assert states(cold) == {State.SENDING}
    assert requests(shop)[warm[0]] == 1
    finish(shop)
    assert requests(shop)[answered] == 2
    assert [it.outcome for it in attempts(answered)] == [
        Outcome.UNKNOWN,
        Outcome.CONFIRMED,
    ]


@pytest.mark.parametrize("survivor", ["worker", "command"])
def test_f15_a_worker_that_never_comes_back_is_replaced_within_lease_and_poll(
    shop: Shop, survivor: str
) -> None:
    shop.configure(**SLOW)
    shop.broker = shop.redis().url
    other = shop.worker() if survivor == "worker" else None
    doomed = shop.worker().ready()
    if other:
        other.ready().pause()
    shop.sandbox.behave("hang", times=1)
    told = shop.orders(20)
    shop.sandbox.wait_for(lambda s: s.received_count > 0, timeout=PATIENCE)
    shop.kill(doomed)
    killed_at = time.monotonic()
    if other:
        other.resume()
        shop.beat()
    else:
        shop.looper(interval=POLL)
    shop.until_quiet()
    assert time.monotonic() - killed_at < conf.LEASE + POLL + MARGIN
    audit(shop, told)


@pytest.mark.parametrize("kind", ["worker", "command"])
def test_f17_ten_restarts_under_load_lose_nothing_and_send_nothing_twice(
    shop: Shop, kind: str
) -> None:
    shop.configure(**LONG)
    shop.sandbox.delay = 0.2  # so that something is in flight whenever it ends
    shop.broker = shop.redis().url
    start = shop.worker if kind == "worker" else shop.looper
    backlog = pile_up(BACKLOG)  # which nobody may stay for
    with orders_all_the_time(shop) as told:
        running = start()
        for _ in range(RESTARTS):
            until_another_request(shop)
            running.ask_to_end()
            following = start()
            running.end(GRACE)
            assert running.ending == "exit status 0", running.last_words
            running = following
    shop.sandbox.delay = 0
    shop.looper()
    shop.until_quiet(seconds=2 * PATIENCE)
    audit(shop, told + backlog)
    # What was in flight was awaited; what was not is given back as if never taken.
    assert set(DeliveryAttempt.objects.values_list("outcome", flat=True)) == {
        Outcome.CONFIRMED
    }
    assert set(Conversion.objects.values_list("attempts", "crashes")) == {(1, 0)}


def test_f30_an_order_that_kills_its_worker_each_time_harms_no_other(
    shop: Shop,
) -> None:
    # Where the kill comes late the API has failed instead, and nothing stops for long.
    shop.configure(LEASE=2, DEADLINE=1, READ_TIMEOUT=1, PROBE_SCHEDULE=[0.2])
    told = shop.orders(30)
    deadly = told[7]
    shop.sandbox.behave("hang", order_id=deadly)
    row = Conversion.objects.filter(order_id=deadly)
    taken_with_it = list[set[str]]()

    def has_come() -> bool:
        return requests(shop)[deadly] > len(taken_with_it)

    def has_ended() -> bool:
        return row.filter(due_at=None).exists()

    while not has_ended():
        sender = shop.looper()
        shop.sandbox.wait_for(lambda _: has_come() or has_ended(), timeout=PATIENCE)
        shop.kill(sender)
        taken = Conversion.objects.filter(state=State.SENDING)
        others = set(taken.values_list("order_id", flat=True)) - {deadly}
        taken_with_it.append(others)
    shop.looper()
    shop.until_quiet()
    end = row.get()
    assert (end.state, end.reason) == (State.REJECTED, Reason.INTERNAL)
    assert end.crashes == CRASHES
    assert taken_with_it[0]
    audit(shop, told, unsent={deadly})


def kill_with_one_in_flight(shop: Shop) -> tuple[str, str]:
    """A worker takes two orders, sends one, and never hears the answer.

    Returns that order and the other one.
    """
    shop.configure(**SLOW)
    placed = shop.orders(2)
    shop.sandbox.behave("hang", times=1)
    worker = shop.worker(concurrency=1)
    shop.beat()
    shop.sandbox.wait_for(lambda s: s.received_count == 1, timeout=PATIENCE)
    shop.kill(worker)
    assert states(placed) == {State.SENDING}
    (in_flight,) = requests(shop)
    (waiting,) = set(placed) - {in_flight}
    return in_flight, waiting


def finish(shop: Shop) -> None:
    shop.looper()
    shop.until_quiet()
    audit(shop)


def until_another_request(shop: Shop) -> None:
    before = shop.sandbox.received_count
    shop.sandbox.wait_for(lambda s: s.received_count > before, timeout=PATIENCE)


def requests(shop: Shop) -> Counter[str]:
    """How often each order came to the sandbox, whatever it was told."""
    return Counter(str(received.order_id) for received in shop.sandbox.requests)


def states(order_ids: list[str]) -> set[str]:
    rows = Conversion.objects.filter(order_id__in=order_ids)
    return set(rows.values_list("state", flat=True))


def due_at(order_id: str) -> datetime:
    due: datetime | None = Conversion.objects.get(order_id=order_id).due_at
    assert due is not None
    return due


def attempts(order_id: str) -> list[DeliveryAttempt]:
    found = DeliveryAttempt.objects.filter(conversion__order_id=order_id)
    return list(found.order_by("started_at"))


@contextmanager
def rows_locked() -> Iterator[None]:
    """Nobody settles a row; on SQLite nobody writes anything."""
    with transaction.atomic():
        list(Conversion.objects.select_for_update())
        yield


@contextmanager
def orders_all_the_time(shop: Shop) -> Iterator[list[str]]:
    """Yields the list in which they are."""
    told, closed = list[str](), threading.Event()

    def sell() -> None:
        try:
            while not closed.wait(0.05):
                told.extend(shop.orders())
        finally:
            connection.close()

    seller = threading.Thread(target=sell)
    seller.start()
    try:
        yield told
    finally:
        closed.set()
        seller.join()
