"""Several people have the same orders sent again while workers send."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from django.db import connection

from connectly_tracking.models import Conversion, DeliveryAttempt, State
from connectly_tracking.outbox import replay

from ..conftest import broker_at
from .audit import audit
from .crew import PATIENT, hire, open_broker
from .process import PATIENCE

if TYPE_CHECKING:
    from .shop import Shop

PEOPLE: Final = 4
REFUSALS: Final = 2  # of each order that is refused
PAUSE: Final = 0.01  # seconds; a person who replays does not lock others out


def test_f37_of_those_who_replay_a_row_one_wins_and_it_is_sent_once(
    shop: Shop,
) -> None:
    shop.configure(**PATIENT, PROBE_SCHEDULE=[0.2])
    open_broker(shop)
    told = shop.orders(36)
    refused = told[::3]
    for number in refused:
        shop.sandbox.behave("400", times=REFUSALS, order_id=number)
    hire(shop, workers=2)
    given_up = threading.Event()

    def person() -> Counter[str]:
        """Replays whatever is refused, until nothing is left. Returns what moved."""
        moved = Counter[str]()
        undelivered = Conversion.objects.filter(order_id__in=refused).exclude(
            state=State.DELIVERED
        )
        try:
            while undelivered.exists() and not given_up.wait(PAUSE):
                for number in refused:
                    moved[number] += replay(Conversion.objects.filter(order_id=number))
        finally:
            connection.close()
        return moved

    with broker_at(shop.broker), ThreadPoolExecutor(PEOPLE) as pool:
        timer = threading.Timer(PATIENCE, given_up.set)
        timer.start()
        people = [pool.submit(person) for _ in range(PEOPLE)]
        replays = sum((one.result() for one in people), Counter[str]())
        timer.cancel()
    shop.until_quiet()
    assert replays == dict.fromkeys(refused, REFUSALS)
    sent = Counter(received.order_id for received in shop.sandbox.requests)
    assert sent == {number: 1 + replays[number] for number in told}
    audit(shop, told, in_flight=replays.total())
    assert not Conversion.objects.exclude(state=State.DELIVERED).exists()
    attempts = Conversion.objects.values_list("order_id", "attempts")
    assert dict(attempts) == sent
    assert DeliveryAttempt.objects.count() == sent.total()
