from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from oscar.test import factories

from connectly_tracking import outbox
from connectly_tracking.contrib.oscar.adapter import purchase
from connectly_tracking.events import Item

from ..conftest import make_click

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(shop: None) -> Any:
    placed = factories.create_order(number="100001")
    placed.lines.update(partner_sku="sku-1", upc="upc-1")
    return placed


def items(order: Any) -> list[Any]:
    return list(purchase(order).contents)


def ids(order: Any) -> list[str]:
    return [item.id for item in items(order)]


def test_a_line_keeps_its_sku_when_the_product_is_deleted(order: Any) -> None:
    line = order.lines.get()
    line.product.delete()
    assert purchase(order).contents == [
        Item(id="sku-1", quantity=1, item_price=Decimal("10.00"))
    ]


def test_without_a_sku_it_is_the_upc_and_then_the_primary_key(order: Any) -> None:
    order.lines.update(partner_sku="")
    assert ids(order) == ["upc-1"]
    order.lines.update(upc=None)
    product = order.lines.get().product
    assert ids(order) == [str(product.pk)]


def test_a_deleted_product_without_both_is_left_out_and_named(order: Any) -> None:
    order.lines.update(partner_sku="", upc="")
    order.lines.get().product.delete()
    assert ids(order) == [""]
    row = outbox.record(purchase(order), attribution=make_click())
    assert "None" not in row.body
    assert "left out" in row.detail


def test_a_line_that_was_edited_down_to_nothing_is_left_out(order: Any) -> None:
    order.lines.update(quantity=0)
    assert purchase(order).contents == []


def test_a_line_whose_price_is_not_known_goes_without(order: Any) -> None:
    order.lines.update(unit_price_incl_tax=None)
    assert [item.item_price for item in items(order)] == [None]


def test_a_number_that_is_an_int_while_it_is_placed_is_text(shop: None) -> None:
    order = factories.create_order(number=100_002)
    assert order.number == 100_002
    assert purchase(order).order_id == "100002"
