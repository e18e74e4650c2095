"""During a deploy an older version records orders beside this one."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction
from django.utils import timezone

from connectly_tracking.models import Conversion, DeliveryAttempt, State, key_of
from example_project.shop.models import Order

from .audit import audit
from .crew import PATIENT, hire

if TYPE_CHECKING:
    from django.db.models import Model

    from .shop import Shop

#: What an older version inserts. A later column must be nullable or have a default of
#: the database's own, since that version does not name it.
OLDER: Final = {
    "event_name": "Purchase",
    "business": "default",
    "currency": "USD",
    "state": "pending",
    "reason": "",
    "detail": "",
    "sendout_id": "send-1",
    "ad_id": "120210",
    "attempts": 0,
    "unconfirmed": 0,
    "crashes": 0,
}


def test_f40_rows_of_the_version_before_go_out_unchanged(shop: Shop) -> None:
    shop.configure(**PATIENT)
    bodies = {number: record(number) for number in numbers("BEFORE")}
    leave_behind("BEFORE-5")
    hire(shop)
    bodies |= {number: record(number) for number in numbers("MEANWHILE")}
    shop.until_quiet()
    audit(shop, list(bodies))
    sent = {it.order_id: it.body for it in shop.sandbox.requests}
    assert sent == bodies
    assert not Conversion.objects.exclude(state=State.DELIVERED).exists()


def numbers(name: str) -> list[str]:
    return [f"{name}-{number}" for number in range(10)]


@transaction.atomic
def record(number: str) -> bytes:
    """An order and its row, as that version records them. Returns the body."""
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
    # In another order, with other spaces and escapes than this version writes.
    body = json.dumps(event, indent=1, ensure_ascii=True)
    insert(
        Conversion,
        **OLDER,
        key=key_of(number),
        order_id=number,
        event_time=order.placed_at,
        value=order.total,
        body=body,
        recorded_at=now,
        due_at=now,
    )
    return body.encode()


def leave_behind(number: str) -> None:
    """A worker of that version claimed it and ended; its lease is over."""
    rows = Conversion.objects.filter(order_id=number)
    past = timezone.now() - timedelta(seconds=1)
    rows.update(state="sending", lease_token=uuid.uuid4(), attempts=1, due_at=past)
    insert(
        DeliveryAttempt,
        id=uuid.uuid4(),
        conversion=rows.get().pk,
        started_at=timezone.now(),
        outcome="unknown",
        detail="",
    )


def insert(model: type[Model], **values: Any) -> None:
    """Name these columns, and no other."""
    fields: list[Any] = [model._meta.get_field(name) for name in values]
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    given = [
        field.get_db_prep_save(value, connection)
        for field, value in zip(fields, values.values(), strict=True)
    ]
    marks = ", ".join(["%s"] * len(given))
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(model._meta.db_table)
        cursor.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", given)
