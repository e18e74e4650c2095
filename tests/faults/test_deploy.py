"""A deploy of this version meets rows that the one before has recorded."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from connectly_tracking.models import Conversion, State, key_of
from example_project.shop.models import Order

from .audit import audit
from .crew import PATIENT, hire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .shop import Shop

APP: Final = "connectly_tracking"
FIRST: Final = "0001_initial"


@pytest.fixture
def before(transactional_db: None) -> Iterator[Any]:
    """The first version's tables. Yields its models; afterwards they are ours again."""
    call_command("migrate", APP, FIRST, verbosity=0)
    try:
        yield MigrationLoader(connection).project_state((APP, FIRST)).apps
    finally:
        call_command("migrate", verbosity=0)


def test_f40_rows_of_the_version_before_go_out_unchanged(
    before: Any, shop: Shop
) -> None:
    shop.configure(**PATIENT)
    numbers = [f"OLD-{number}" for number in range(20)]
    bodies = {number: record(before, number) for number in numbers}
    leave_behind(before, numbers[10])
    call_command("migrate", verbosity=0)
    hire(shop)
    shop.until_quiet()
    audit(shop, list(bodies))
    sent = {it.order_id: it.body for it in shop.sandbox.requests}
    assert sent == bodies
    assert not Conversion.objects.exclude(state=State.DELIVERED).exists()


def record(before: Any, number: str) -> bytes:
    """An order and its row as they stood then. Returns the body."""
    now = timezone.now()
    order = Order.objects.create(number=number, total="99.97", currency="USD")
    event = {
        "payload": {
            "event_time": int(now.timestamp()),
            "order_id": number,
            "value": 99.970,
            "currency": "USD",
            "contents": [{"id": "café", "quantity": 1, "item_price": 99.97}],
        },
        "attribution": {"meta_ctwa": {"ad_id": "120210", "ctwa_clid": "clid-1"}},
        "sendout_id": "send-1",
        "event_name": "Purchase",
        "cnct_tracking_id": "track-1",
    }
    # With another order, other spaces and other escapes than this version writes.
    body = json.dumps(event, indent=1, ensure_ascii=True)
    before.get_model(APP, "Conversion").objects.create(
        event_name="Purchase",
        business="default",
        key=key_of(number),
        order_id=number,
        event_time=order.placed_at,
        value=order.total,
        currency=order.currency,
        state="pending",
        sendout_id="send-1",
        ad_id="120210",
        body=body,
        recorded_at=now,
        due_at=now,
    )
    return body.encode()


def leave_behind(before: Any, number: str) -> None:
    """A worker of that version took it and ended; its lease is over."""
    row = before.get_model(APP, "Conversion").objects.get(order_id=number)
    row.state, row.lease_token, row.attempts = "sending", uuid.uuid4(), 1
    row.due_at = timezone.now() - timedelta(seconds=1)
    row.save()
    before.get_model(APP, "DeliveryAttempt").objects.create(
        conversion_id=row.pk, started_at=timezone.now()
    )
