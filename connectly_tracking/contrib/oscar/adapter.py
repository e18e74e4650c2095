"""Makes events of Oscar's orders and products.

The id of a product is its stock record's SKU, as in Oscar's own analytics: catalogue
feeds usually have it, each line keeps it when the product is deleted, and each variant
has its own. Without a SKU it is the UPC, and without that the primary key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectly_tracking.events import Item, Purchase, ViewContent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest


def purchase(order: Any) -> Purchase:
    """Return the order as it was paid, with shipping, surcharges, tax and vouchers.

    ``item_price`` is the price in the catalogue with tax, before offers and vouchers.
    """
    # Read from the database: while it is being placed, the order may have a total of
    # four places and a number that is an int.
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
            if line.quantity  # an edited line may have none
        ],
    )


def view(product: Any, request: HttpRequest) -> ViewContent:
    """Return a view of the product at this visitor's price, or of all its variants."""
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
    # A deleted product leaves none: its line is reported as one without an id.
    return sku or upc or ("" if product_id is None else str(product_id))
