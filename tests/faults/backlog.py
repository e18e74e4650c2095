"""Many due rows at once, as they stand there after an outage."""

from __future__ import annotations

from typing import Final

from django.db import connection, transaction

from connectly_tracking.attribution import ClickSource
from connectly_tracking.models import Conversion
from connectly_tracking.outbox.draft import draft_of
from example_project.shop.models import Order

from ..conftest import make_click, make_purchase

#: Clocks as a shop has them: where it is crowded no lease may end because of that.
LONG: Final = {"LEASE": 120, "DEADLINE": 20, "READ_TIMEOUT": 10}

#: What differs between a row and its copy; the others are as they are.
_COPIED: Final = {
    "order_id": "order_id || '{suffix}'",
    "key": "substr(key, 1, 52) || '{suffix}'",
    "body": """replace(body, '"' || order_id || '"', '"' || order_id || '{suffix}"')""",
}


def pile_up(count: int, *, name: str = "LATE") -> list[str]:
    """So many orders with their rows, all seen at once. Returns the orders' numbers."""
    numbers = [f"{name}-{number}" for number in range(count)]
    source = ClickSource(attribution=make_click())
    rows = [draft_of(make_purchase(number), source, None).row for number in numbers]
    orders = [Order(number=number, total=1, currency="USD") for number in numbers]
    with transaction.atomic():
        Order.objects.bulk_create(orders)
        Conversion.objects.bulk_create(rows)
    return numbers


def multiply(times: int) -> None:
    """Copy what there is until it is so many times as much; in SQL, which is quick.

    The copies have no orders. Then the database learns what there is, as it would.
    """
    columns = [
        str(field.column)
        for field in Conversion._meta.concrete_fields
        if not field.primary_key
    ]
    values = ", ".join(_COPIED.get(column, column) for column in columns)
    table, last = Conversion._meta.db_table, Conversion.objects.order_by("pk").last()
    assert last is not None
    with transaction.atomic(), connection.cursor() as cursor:
        for copy in range(1, times):
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(columns)})"
                f" SELECT {values.replace('{suffix}', f'-copy-{copy}')}"
                f" FROM {table} WHERE id <= {last.pk}"
            )
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")
