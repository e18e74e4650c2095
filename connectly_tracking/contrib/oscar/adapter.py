"""What Oscar's orders and products are to Connectly.

A product goes by its stock record's SKU, as in Oscar's own analytics: it is what a
catalogue's feed is usually made with, each line keeps it when the product is deleted,
and a variant has its own. Without one it is the UPC, and the primary key at last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectly_tracking.events import Item, Purchase, ViewContent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest


def purchase(order: Any) -> Purchase:
    """The order as it was paid: its total holds shipping, surcharges, tax, vouchers.

    ``item_price`` is the catalogue's price with tax, before offers and vouchers.
    """
    # As it is stored: the one in hand may carry a total of four places, and a number
    # that is an int, while it is being placed.
    stored = type(order)._base_manager.using(order._state.db).get(pk=order.pk)
    return Purchase(
        order_id=stored.number,
        value=stored.total_incl_tax,
        currency=stored.currency,
        event_time=stored.date_placed,
        contents=[
            Item(
                id=_content_id(line.partner_sku, line.upc, line.product_id),
                quantity=line.quantity,
                item_price=line.unit_price_incl_tax,
            )
            for line in stored.lines.all()
            if line.quantity  # not one that was edited down to nothing
        ],
    )


def view(product: Any, request: HttpRequest) -> ViewContent:
    """The product at this visitor's price; of one with variants, all of them."""
    strategy: Any = request.strategy  # type: ignore[attr-defined]
    variants = list(product.get_public_children()) if product.is_parent else []
    shown = [(each, strategy.fetch_for_product(each)) for each in variants or [product]]
    ids: Iterable[str] = [
        _content_id(getattr(info.stockrecord, "partner_sku", ""), each.upc, each.pk)
        for each, info in shown
    ]
    price = shown[0][1].price
    if len(shown) > 1 or not (price.exists and price.is_tax_known):
        return ViewContent(content_ids=ids)
    return ViewContent(content_ids=ids, value=price.incl_tax, currency=price.currency)


def _content_id(sku: str, upc: str | None, product_id: object) -> str:
    return sku or upc or str(product_id)
