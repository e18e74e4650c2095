"""The example shop, with Django's test client."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.test import Client

from connectly_tracking.models import Conversion, Reason, State
from example_project.shop.models import Order, Product

from .conftest import LANDING, TAGGED, broker_at

pytestmark = pytest.mark.django_db

CART = {"sku": "grinder-01", "quantity": "3"}


def test_a_click_an_order_and_a_thank_you(client):
    assert b"Hand grinder" in client.get(TAGGED).content
    assert b"csrfmiddlewaretoken" in client.get("/product/grinder-01/").content
    page = client.post("/checkout/", CART, follow=True)

    order = Order.objects.get()
    assert page.redirect_chain == [(f"/thank-you/{order.number}/", 302)]
    assert order.number in page.content.decode()
    row = Conversion.objects.get()
    assert (row.state, row.order_id) == (State.PENDING, order.number)
    assert json.loads(row.body, parse_float=Decimal) == {
        "cnct_tracking_id": LANDING.cnct_tracking_id,
        "event_name": "Purchase",
        "sendout_id": LANDING.sendout_id,
        "attribution": {
            "meta_ctwa": {"ctwa_clid": LANDING.ctwa_clid, "ad_id": LANDING.ad_id}
        },
        "payload": {
            "currency": "USD",
            "value": Decimal("149.97"),
            "order_id": order.number,
            "content_type": "product",
            "content_ids": ["grinder-01"],
            "num_items": 3,
            "contents": [
                {"id": "grinder-01", "quantity": 3, "item_price": Decimal("49.99")}
            ],
            "event_time": int(order.placed_at.timestamp()),
        },
    }


def test_an_order_without_a_click_is_placed_and_not_reported(client):
    assert client.post("/checkout/", CART).status_code == 302
    row = Conversion.objects.get(order_id=Order.objects.get().number)
    assert (row.state, row.reason) == (State.SKIPPED, Reason.NOT_ATTRIBUTED)


def test_an_order_keeps_what_was_sold_and_for_how_much(client):
    client.post("/checkout/", CART | {"email": "someone@example.com"})
    Product.objects.update(price=1)
    order = Order.objects.get()
    assert (order.total, order.email) == (Decimal("149.97"), "someone@example.com")
    assert [(line.sku, line.quantity, line.price) for line in order.lines.all()] == [
        ("grinder-01", 3, Decimal("49.99"))
    ]


@pytest.mark.parametrize("quantity", ["0", "-1", "100", "1.5", "many", ""])
def test_a_quantity_that_cannot_be_bought_is_asked_for_again(client, quantity):
    page = client.post("/checkout/", CART | {"quantity": quantity})
    assert page.status_code == 400
    assert b"errorlist" in page.content
    assert not Order.objects.exists()


@pytest.mark.parametrize("sku", ["", "unknown", "grinder-01\0"])
def test_a_product_that_is_not_sold_cannot_be_bought(client, sku):
    assert client.post("/checkout/", CART | {"sku": sku}).status_code == 404


def test_a_product_that_is_not_sold_has_no_page(client):
    assert client.get("/product/unknown/").status_code == 404


def test_a_checkout_needs_its_token():
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/checkout/", CART).status_code == 403


def test_a_checkout_is_posted(client):
    assert client.get("/checkout/").status_code == 405


def test_an_order_is_shown_to_its_customer_alone(client):
    thanks = client.post("/checkout/", CART).url
    assert client.get(thanks).status_code == 200
    assert Client().get(thanks).status_code == 404


def test_a_customer_can_see_each_of_several_orders(client):
    for _ in range(2):
        client.post("/checkout/", CART)
    for order in Order.objects.all():
        assert client.get(order.get_absolute_url()).status_code == 200


def test_a_number_is_never_given_twice():
    product = Product.objects.get(sku="mug-white")
    first = Order.objects.place(product, quantity=1)
    second = Order.objects.place(product, quantity=1)
    number = int(first.number.removeprefix("ORD-"))
    assert number > 1000
    assert second.number == f"ORD-{number + 1}"
    second.delete()
    assert Order.objects.place(product, quantity=1).number == f"ORD-{number + 2}"


def test_the_admin_lists_orders_and_adds_none(admin_client, client):
    client.post("/checkout/", CART)
    order = Order.objects.get()
    assert order.number in admin_client.get("/admin/shop/order/").content.decode()
    page = admin_client.get(f"/admin/shop/order/{order.pk}/change/")
    assert "grinder-01" in page.content.decode()
    assert admin_client.get("/admin/shop/order/add/").status_code == 403


def test_the_project_has_nothing_to_complain_about():
    with broker_at("redis://127.0.0.1:1/0"):  # named, and not called
        call_command("check", "--database", "default", fail_level="DEBUG")


def test_the_models_are_as_the_migrations_make_them():
    call_command("makemigrations", "shop", check=True, verbosity=0)
