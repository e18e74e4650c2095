"""Many who look at the same rows at once, and a shop without a clock, or with two."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from celery import current_app
from django.db import connection

from connectly_tracking import wakeup
from connectly_tracking.models import Conversion

from ..conftest import broker_at
from .audit import audit
from .backlog import LONG, pile_up
from .process import PATIENCE, until
from .shop import MANAGE

if TYPE_CHECKING:
    from .process import Process
    from .shop import Shop

CLAIMERS: Final = 8
WAKEUPS: Final = 50
ROWS: Final = 400 if connection.vendor == "sqlite" else 2000
BATCH: Final = 16
DONE: Final = " succeeded in "  # as Celery says of each task
TROUBLE: Final = re.compile("locked|error|failed|not_settled", re.IGNORECASE)


def test_f18_fifty_wakeups_for_one_order_are_one_request(shop: Shop) -> None:
    shop.configure(**LONG)
    shop.sandbox.delay = 0.3  # so that others look before it is settled
    told = shop.orders(1)
    shop.broker = shop.redis().url
    workers = [shop.worker(concurrency=CLAIMERS // 2) for _ in range(2)]
    for worker in workers:
        worker.ready().pause()
    with broker_at(shop.broker):
        for _ in range(WAKEUPS):  # a shop's own wake-ups may stay away when it is busy
            current_app.send_task(wakeup.DELIVER)
    for worker in workers:
        worker.resume()
    until(lambda: sum(it.said().count(DONE) for it in workers) == WAKEUPS)
    shop.until_quiet()
    audit(shop, told)
    assert shop.sandbox.received_count == 1


def test_f19_eight_claimers_send_each_row_once_and_none_is_locked_out(
    shop: Shop,
) -> None:
    shop.configure(**LONG, BATCH=BATCH)
    claimers = [shop.looper(interval=0.05) for _ in range(CLAIMERS)]
    told = list[str]()

    def all_are_up() -> bool:
        told.extend(shop.orders(1))
        return all(claimer.has_said("claimed") for claimer in claimers)

    until(all_are_up)
    told += pile_up(ROWS)
    shop.until_quiet(seconds=2 * PATIENCE)
    audit(shop, told)
    assert shop.sandbox.received_count == len(told)
    assert set(Conversion.objects.values_list("attempts", "crashes")) == {(1, 0)}
    assert sum(claimer.has_said(f"claimed {BATCH},") for claimer in claimers) > 1
    assert sum(map(claimed_in_all, claimers)) == len(told)
    assert not [it.said() for it in claimers if TROUBLE.search(it.said())]


def test_f34_without_beat_the_command_sends_what_no_wakeup_told_of(shop: Shop) -> None:
    told = shop.orders(20)
    shop.broker = shop.redis().url
    worker = shop.worker().ready()
    command = shop.start("command", [*MANAGE, "connectly_deliver"])
    command.end(PATIENCE)
    assert command.has_said("claimed 20, delivered 20"), command.last_words
    audit(shop, told)
    assert not worker.has_said(DONE)

    told += shop.orders(1)
    until(lambda: worker.has_said(DONE))
    audit(shop, told)


def test_f34_with_two_beats_nothing_is_sent_twice(shop: Shop) -> None:
    shop.configure(**LONG)
    shop.broker = shop.redis().url
    shop.worker(concurrency=4).ready()
    beats = [shop.beat(), shop.beat()]
    until(lambda: all(beat.said().count("Sending due task") > 1 for beat in beats))
    told = shop.orders(200)
    shop.until_quiet()
    audit(shop, told)
    assert shop.sandbox.received_count == len(told)


def claimed_in_all(claimer: Process) -> int:
    """What it says when it is asked to end."""
    claimer.ask_to_end()
    claimer.end(PATIENCE)
    assert claimer.ending == "exit status 0", claimer.last_words
    return int(claimer.said().rpartition("in all: claimed ")[2].split(",")[0])
