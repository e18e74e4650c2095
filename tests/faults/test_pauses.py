"""The API is in trouble, and the circuit keeps every worker from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest

from connectly_tracking.delivery.breaker import MAX_FAILURES, MAX_REFUSALS
from connectly_tracking.delivery.send import MAX_GROUP_SIZE
from connectly_tracking.models import Circuit, Conversion, DeliveryAttempt, State

from .audit import audit
from .crew import PATIENT, PROCESSES, await_polls, dismiss, hire, open_broker
from .process import until
from .shop import CLOCKS

if TYPE_CHECKING:
    from connectly_tracking.sandbox import Received

    from .shop import Shop

WORKERS: Final = 2
SENDERS: Final = WORKERS * PROCESSES
#: What each may have sent, or be about to send, and not have settled.
IN_FLIGHT: Final = SENDERS * 2 * CLOCKS["THREADS"]
INTERVAL: Final = 3.0  # seconds between two probes


@pytest.fixture(autouse=True)
def _every_order_wakes_a_process(shop: Shop) -> None:
    shop.configure(**PATIENT, PROBE_SCHEDULE=[INTERVAL])
    open_broker(shop)


def uncounted(shop: Shop) -> list[Received]:
    return [received for received in shop.sandbox.requests if not received.counted]


def since(at: datetime, shop: Shop) -> list[Received]:
    return [it for it in shop.sandbox.requests if it.received_at >= at]


def await_pause() -> Circuit:
    circuit = until(lambda: Circuit.objects.exclude(paused_until=None).first())
    assert circuit is not None
    return circuit


def test_f20_an_outage_costs_a_few_requests_and_then_one_per_interval(
    shop: Shop,
) -> None:
    told = shop.orders(60)
    shop.sandbox.behave("500")
    hire(shop, workers=WORKERS)
    opened_at = await_pause().changed_at
    # Before that nobody may have probed, and whatever was in flight has landed.
    first_probe_at = opened_at + timedelta(seconds=INTERVAL)
    until(lambda: len(since(first_probe_at, shop)) >= 2)
    shop.sandbox.behave("ok")
    healed_at = datetime.now(UTC)
    shop.until_quiet()
    failed = uncounted(shop)
    probes = [it.received_at for it in since(first_probe_at, shop) if it in failed]
    # None had seen an answer, so each had sent one at a time.
    assert MAX_FAILURES <= len(failed) - len(probes) <= MAX_FAILURES + SENDERS
    gaps = [(later - sooner).total_seconds() for sooner, later in pairwise(probes)]
    assert min(gaps) >= INTERVAL
    all_counted = max(received.received_at for received in shop.sandbox.events)
    assert (all_counted - healed_at).total_seconds() < 2 * INTERVAL
    audit(shop, told, in_flight=len(failed))
    assert not Conversion.objects.exclude(state=State.DELIVERED).exists()


def test_f20_an_outage_in_the_middle_of_a_burst_costs_what_is_in_flight(
    shop: Shop,
) -> None:
    told = shop.orders(200)
    shop.sandbox.behave(["ok*60", "500"])
    hire(shop, workers=WORKERS)
    await_pause()
    shop.sandbox.behave("ok")
    shop.until_quiet()
    failed = uncounted(shop)
    # What each had confirmed before and settles later makes the count begin anew.
    assert MAX_FAILURES <= len(failed) <= SENDERS * MAX_FAILURES + IN_FLIGHT
    audit(shop, told, in_flight=len(failed))


def test_f21_all_workers_wait_as_long_as_the_api_asks_one_of_them(shop: Shop) -> None:
    asked_for = timedelta(seconds=8)
    told = shop.orders(300)
    shop.sandbox.behave(["ok*60", "429:8", "ok"])
    hire(shop, workers=WORKERS)
    pause = await_pause()
    paused_at, paused_until = pause.changed_at, pause.paused_until
    assert paused_until is not None
    shop.until_quiet()
    (throttled,) = uncounted(shop)
    assert paused_until >= throttled.received_at + asked_for
    meanwhile = [
        received.received_at
        for received in shop.sandbox.requests
        if paused_at < received.received_at < paused_until
    ]
    # The others learn of it when they settle what they have in hand.
    assert len(meanwhile) <= IN_FLIGHT + SENDERS * MAX_GROUP_SIZE
    learnt = paused_at + timedelta(seconds=4)
    assert [at for at in meanwhile if at > learnt] == []
    assert len(shop.sandbox.requests) == len(told) + 1
    audit(shop, told, in_flight=1)


def test_f22_a_wrong_key_costs_a_request_per_process_and_no_row(shop: Shop) -> None:
    told = shop.orders(60)
    right = shop.environ["CONNECTLY_API_KEY"]
    shop.configure(API_KEY="wrong", PROBE_SCHEDULE=[300])
    crew = hire(shop, workers=WORKERS)
    await_pause()
    await_polls(crew, 5)
    dismiss(crew)
    refused = uncounted(shop)
    assert {received.status for received in refused} == {401}
    assert len(refused) <= SENDERS
    shop.configure(API_KEY=right)
    hire(shop, workers=WORKERS)
    shop.until_quiet()
    assert len(shop.sandbox.requests) == len(refused) + len(told)
    audit(shop, told, in_flight=len(refused))
    assert not Conversion.objects.exclude(state=State.DELIVERED).exists()
    assert not Conversion.objects.exclude(attempts=1).exists()
    attempts = DeliveryAttempt.objects.filter(outcome="configuration")
    assert attempts.count() == len(refused)


def test_f23_what_is_refused_for_all_is_refused_for_a_handful(shop: Shop) -> None:
    shop.configure(PROBE_SCHEDULE=[2])
    told = shop.orders(20)
    shop.sandbox.behave("400")
    hire(shop, workers=WORKERS)
    assert await_pause().reason == Circuit.Reason.REFUSALS
    shop.sandbox.behave("ok")
    shop.until_quiet()
    refused = {str(received.order_id) for received in uncounted(shop)}
    assert MAX_REFUSALS <= len(refused) <= MAX_REFUSALS + SENDERS
    rejected = Conversion.objects.filter(state=State.REJECTED)
    assert {row.order_id for row in rejected} == refused
    audit(shop, told, unsent=refused)
