"""Oscar's product pages, to what Connectly gets."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from oscar.test import factories

from connectly_tracking.contrib.oscar import adapter
from connectly_tracking.delivery import deliver
from connectly_tracking.models import Conversion

from .customer import Customer, purchases

if TYPE_CHECKING:
    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db


def look_at(customer: Customer, product: Any, method: str = "get") -> None:
    shown = getattr(customer.client, method)(product.get_absolute_url())
    assert shown.status_code == 200


@pytest.fixture
def sizes(shop: None) -> Any:
    """A product with two variants, and one that is not sold."""
    parent = factories.create_product(
        title="Socks", upc="upc-socks", structure="parent"
    )
    for size in ("S", "M", "L"):
        child = parent.__class__.objects.create(
            structure="child", title=size, parent=parent, is_public=size != "L"
        )
        factories.create_stockrecord(
            child, price=Decimal("5.00"), partner_sku=f"sku-{size}", num_in_stock=1
        )
    return parent


def test_a_product_that_the_customer_looks_at_is_reported_at_its_price(
    customer: Customer, tee: Any, sandbox: Sandbox
) -> None:
    customer.follow_the_ad()
    look_at(customer, tee)
    look_at(customer, tee)
    deliver()
    (body,) = purchases(sandbox)
    assert body["event_name"] == "ViewContent"
    payload = body["payload"]
    assert payload["content_ids"] == ["sku-tee"]
    assert (payload["value"], payload["currency"]) == (Decimal("16.66"), "GBP")


def test_a_product_with_variants_is_all_that_are_sold(
    customer: Customer, sizes: Any, sandbox: Sandbox
) -> None:
    customer.follow_the_ad()
    look_at(customer, sizes)
    deliver()
    (body,) = purchases(sandbox)
    assert sorted(body["payload"]["content_ids"]) == ["sku-M", "sku-S"]
    assert "value" not in body["payload"]


def test_a_product_that_nobody_sells_goes_by_its_upc(
    customer: Customer, shop: None, sandbox: Sandbox
) -> None:
    customer.follow_the_ad()
    look_at(customer, factories.create_product(upc="upc-1"))
    deliver()
    (body,) = purchases(sandbox)
    assert body["payload"]["content_ids"] == ["upc-1"]


def test_a_customer_who_is_logged_in_is_known_without_a_click_in_the_session(
    customer: Customer, tee: Any
) -> None:
    phone = Customer()
    phone.follow_the_ad()
    phone.log_in()
    customer.log_in()
    look_at(customer, tee)
    assert Conversion.objects.count() == 1


def test_a_stranger_is_not_reported_and_costs_no_look_at_the_product(
    customer: Customer,
    tee: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delattr(adapter, "view")  # would be said
    look_at(customer, tee)
    assert not Conversion.objects.exists()
    assert "view_not_recorded" not in caplog.text


def test_what_only_asks_for_the_head_looks_at_nothing(
    customer: Customer, tee: Any
) -> None:
    customer.follow_the_ad()
    look_at(customer, tee, "head")
    assert not Conversion.objects.exists()


def test_a_shop_with_an_adapter_of_its_own_sends_its_own_views(
    customer: Customer, tee: Any, configure: Any
) -> None:
    configure(ORDER_ADAPTER=lambda order: adapter.purchase(order))
    customer.follow_the_ad()
    look_at(customer, tee)
    assert not Conversion.objects.exists()


def test_prices_that_fail_cost_no_page(
    customer: Customer, tee: Any, configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(ORDER_ADAPTER="no.such.module", STRICT=True)
    customer.follow_the_ad()
    look_at(customer, tee)
    assert "view_not_recorded error=ImproperlyConfigured" in caplog.text
