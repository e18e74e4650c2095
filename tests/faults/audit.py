"""Whether anything was lost, or sent twice without need."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from connectly_tracking.models import Conversion, State
from example_project.shop.models import Order

if TYPE_CHECKING:
    from collections.abc import Collection

    from .shop import Shop


def audit(
    shop: Shop,
    told: Collection[str] = (),
    *,
    in_flight: int = 0,
    unsent: Collection[str] = (),
) -> None:
    """Ask of a shop that has come to rest. Raises AssertionError with the order ids.

    ``told`` are the orders of which a customer, or the test, knows that they are
    placed. ``unsent`` are those that are rightly not at Connectly. ``in_flight`` is how
    many requests more than those of `Shop.kill` may have been under way when something
    was cut.
    """
    committed = set(Order.objects.values_list("number", flat=True))
    counted = {received.order_id for received in shop.sandbox.events}
    rows = Conversion.objects.all()
    recorded = set(rows.values_list("order_id", flat=True))
    bodies = defaultdict[str | None, list[bytes]](list)
    for received in shop.sandbox.requests:
        bodies[received.order_id].append(received.body)
    repeated = {order_id: len(sent) for order_id, sent in bodies.items() if sent[1:]}
    allowed = shop.in_flight + in_flight
    findings: dict[str, set[Any]] = {
        "told of, and not in the table of orders": set(told) - committed,
        "committed, and not at Connectly": committed - counted - set(unsent),
        "at Connectly, and not committed": counted - committed,
        "at Connectly, and should not be": counted & set(unsent),
        "committed, and without a row": committed - recorded,
        "with a row, and not committed": recorded - committed,
        "in no final state": set(
            rows.exclude(due_at=None).values_list("order_id", flat=True)
        ),
        "counted, and not shown as delivered": counted
        - set(rows.filter(state=State.DELIVERED).values_list("order_id", flat=True)),
        "sent again with other bytes": {
            order_id for order_id, sent in bodies.items() if len(set(sent)) > 1
        },
    }
    words = [
        f"{len(orders)} {finding}: {sorted(map(str, orders))[:20]}"
        for finding, orders in findings.items()
        if orders
    ]
    if sum(repeated.values()) - len(repeated) > allowed:
        words.append(f"sent again, where {allowed} might have been: {repeated}")
    assert not words, "\n".join([*words, shop.describe()])
