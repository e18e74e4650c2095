"""Orders that are due, written in bulk."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def body_of(order_id: str) -> dict[str, object]:
    """The request of an order, as the documentation has it."""
    return {
        "cnct_tracking_id": "b1f6f3f0-track",
        "event_name": "Purchase",
        "sendout_id": "0f1e2d3c-sendout",
        "attribution": {"meta_ctwa": {"ctwa_clid": "ARAclick", "ad_id": "120210"}},
        "payload": {
            "currency": "USD",
            "value": 99,
            "order_id": order_id,
            "content_type": "product",
            "content_ids": ["sku-1"],
            "num_items": 1,
            "contents": [{"id": "sku-1", "quantity": 1, "item_price": 99}],
            "event_time": int(time.time()),
        },
    }


def record(numbers: Iterable[int]) -> None:
    """Write orders ``ORD-n`` that are due."""
    from django.utils import timezone

    from connectly_tracking.models import Conversion, DbNow, EventName, State, key_of

    now = timezone.now()
    Conversion.objects.bulk_create(
        [
            Conversion(
                event_name=EventName.PURCHASE,
                key=key_of(f"ORD-{number}"),
                order_id=f"ORD-{number}",
                state=State.PENDING,
                recorded_at=now,
                due_at=DbNow(),
                body=json.dumps(body_of(f"ORD-{number}")),
            )
            for number in numbers
        ],
        batch_size=1000,
    )


def is_any_undelivered() -> bool:
    from connectly_tracking.models import Conversion, State

    return Conversion.objects.exclude(state=State.DELIVERED).exists()


def clear() -> None:
    """Empty the tables of the orders and their attempts."""
    from django.db import connection

    from connectly_tracking.models import Conversion, DeliveryAttempt

    if connection.vendor == "sqlite":
        DeliveryAttempt.objects.all()._raw_delete("default")
        Conversion.objects.all()._raw_delete("default")
        return
    tables = [model._meta.db_table for model in (DeliveryAttempt, Conversion)]
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(tables)}")
