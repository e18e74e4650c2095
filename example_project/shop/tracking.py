"""How an order of this shop is reported to Connectly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectly_tracking.events import Item, Purchase

if TYPE_CHECKING:
    from .models import Order


def purchase(order: Order) -> Purchase:
    return Purchase(
        order_id=order.number,
        value=order.total,
        currency=order.currency,
        event_time=order.placed_at,
        contents=[
            Item(id=line.sku, quantity=line.quantity, item_price=line.price)
            for line in order.lines.all()
        ],
    )
