"""What has become too old while it waited: it ends, and the shop is told once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest
from django.db import transaction
from django.utils import timezone

from connectly_tracking.models import Conversion, Reason, State
from connectly_tracking.signals import order_completed
from example_project.shop.models import Order, Product

from ..conftest import make_click
from .audit import audit
from .crew import PATIENT, await_polls, hire, open_broker
from .customer import SKU
from .listener import Heard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .process import Process
    from .shop import Shop

MAX_AGE: Final = 4  # seconds
DAY: Final = timedelta(days=1)


@pytest.fixture
def heard(shop: Shop, tmp_path: Path) -> Heard:
    shop.configure(**PATIENT)
    open_broker(shop)
    return Heard(shop, tmp_path)


def test_f33_what_is_too_old_at_its_first_try_expires_without_one(
    shop: Shop, heard: Heard
) -> None:
    old, fresh = backfill(20), shop.orders(20)
    crew = hire(shop, workers=2)
    shop.until_quiet()
    assert_told_once(heard, crew, [f"failed {number} expired" for number in old])
    assert shop.sandbox.received_count == len(fresh)
    assert_expired(old)
    audit(shop, [*old, *fresh], unsent=old)


def test_f33_what_an_outage_makes_too_old_expires_while_the_circuit_is_open(
    shop: Shop, heard: Heard
) -> None:
    shop.configure(MAX_EVENT_AGE=MAX_AGE, PROBE_SCHEDULE=[0.5])
    shop.sandbox.behave("500")
    crew = hire(shop, workers=2)
    old = shop.orders(20)
    shop.until_quiet()
    assert_expired(old)
    failed = [f"failed {number} expired" for number in old]
    assert_told_once(heard, crew, ["paused default unavailable", *failed])
    tried = shop.sandbox.received_count
    assert tried > 0
    shop.sandbox.behave("ok")
    await_polls(crew, 4)
    assert shop.sandbox.received_count == tried
    audit(shop, old, unsent=old, in_flight=tried)


def backfill(count: int) -> list[str]:
    """Orders of last week, recorded only now."""
    click = make_click(age=9 * DAY.total_seconds())
    product, numbers = Product.objects.get(sku=SKU), list[str]()
    for _ in range(count):
        with transaction.atomic():
            order = Order.objects.place(product, quantity=1)
            order.placed_at = timezone.now() - 8 * DAY
            order.save()
            order_completed.send(sender=Order, order=order, attribution=click)
        numbers.append(order.number)
    return numbers


def assert_expired(numbers: list[str]) -> None:
    rows = Conversion.objects.filter(order_id__in=numbers)
    assert {(row.state, row.reason) for row in rows} == {
        (State.EXPIRED, Reason.EXPIRED)
    }


def assert_told_once(heard: Heard, crew: Sequence[Process], lines: list[str]) -> None:
    """Also after whoever might do so again has had the occasion."""
    heard.signals(at_least=len(lines))
    await_polls(crew, 2)
    assert sorted(heard.signals(at_least=len(lines))) == sorted(lines)
