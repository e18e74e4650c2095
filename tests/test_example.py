"""The example shop, with Django's test client."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from connectly_tracking.delivery import deliver
from connectly_tracking.models import Attribution, Conversion, Reason, State
from connectly_tracking.testing.assertions import assert_reported
from example_project.bank import seal
from example_project.shop.models import Order, Product

from .conftest import LANDING, TAGGED, broker_at

pytestmark = pytest.mark.django_db

CART = {"sku": "grinder-01", "quantity": "3"}
CLICKED = "Click captured: campaign send-1, ad 120210"
NO_CLICK = "No campaign click in this visit"


@pytest.fixture(autouse=True)
def assortment(db):
    """What the migrations put on sale: an earlier test may have emptied the tables."""
    if not Product.objects.filter(sku=CART["sku"]).exists():
        for name in ("0002_products", "0004_assortment"):
            migration = import_module(f"example_project.shop.migrations.{name}")
            migration.add(apps, SimpleNamespace(connection=connection))


def fill_cart(client):
    for sku, quantity in (("mug-white", 2), ("grinder-01", 1)):
        client.post("/cart/add/", {"sku": sku, "quantity": quantity})


def pay_later(client):
    """Up to the bank's page; returns its address."""
    fill_cart(client)
    return client.post("/cart/checkout/", {"method": "bank"}).url


def bar(client, path="/visit/"):
    """What the bar says: to its script, or on a page."""
    if path == "/visit/":
        return [step["text"] for step in client.get(path).json()["steps"]]
    page = client.get(path).content.decode()
    (steps,) = re.findall(r'<ol class="wide".*?</ol>', page, re.DOTALL)
    return re.findall(r"<li[^>]*>(.*?)</li>", steps)


def notify(body, signature=None):
    """A call of the webhook's, from nobody that the shop has seen before."""
    raw = json.dumps(body).encode()
    return Client(enforce_csrf_checks=True).post(
        "/payments/webhook/",
        raw,
        content_type="application/json",
        headers={seal.HEADER: seal.of(raw) if signature is None else signature},
    )


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


def test_a_cart_is_filled_changed_and_emptied(client):
    assert "Your cart is empty" in client.get("/cart/").content.decode()
    fill_cart(client)
    client.post("/cart/add/", {"sku": "mug-white", "quantity": 1})
    page = client.get("/cart/").content.decode()
    assert "105.04 USD" in page
    assert '<span class="count">4</span>' in page

    client.post("/cart/change/", {"sku": "mug-white", "quantity": 1})
    assert "68.34 USD" in client.get("/cart/").content.decode()
    client.post("/cart/change/", {"sku": "mug-white", "quantity": -1})
    assert "68.34 USD" in client.get("/cart/").content.decode()
    for sku in ("mug-white", "grinder-01"):
        client.post("/cart/change/", {"sku": sku, "quantity": 0})
    assert "Your cart is empty" in client.get("/cart/").content.decode()


def test_a_cart_takes_as_many_as_can_be_bought(client):
    assert client.post("/cart/add/", CART | {"quantity": 100}).status_code == 400
    assert client.post("/cart/add/", CART | {"sku": "unknown"}).status_code == 404
    for _ in range(2):
        client.post("/cart/add/", CART | {"quantity": 60})
    assert client.session["cart"] == {"grinder-01": 99}


def test_what_is_no_longer_sold_leaves_the_cart(client):
    fill_cart(client)
    Product.objects.filter(sku="mug-white").delete()
    client.post("/cart/checkout/", {"method": "card"})
    assert [line.sku for line in Order.objects.get().lines.all()] == ["grinder-01"]


def test_a_cart_is_one_order_and_one_event(client, sandbox):
    client.get(TAGGED)
    fill_cart(client)
    assert "86.69 USD" in client.get("/cart/checkout/").content.decode()
    form = {"method": "card", "email": "someone@example.com"}
    page = client.post("/cart/checkout/", form, follow=True)

    order = Order.objects.get()
    assert page.redirect_chain == [(f"/thank-you/{order.number}/", 302)]
    assert "Thank you" in page.content.decode()
    assert (order.total, order.email) == (Decimal("86.69"), "someone@example.com")
    assert order.paid_at is not None
    assert client.session["cart"] == {}
    deliver()
    payload = assert_reported(sandbox, order.number, value="86.69")["payload"]
    assert payload["content_ids"] == ["mug-white", "grinder-01"]
    assert payload["num_items"] == 3


def test_there_is_nothing_to_pay_for_an_empty_cart(client):
    assert client.get("/cart/checkout/")["Location"] == "/cart/"
    assert client.post("/cart/checkout/", {"method": "card"}).status_code == 302
    assert not Order.objects.exists()


@pytest.mark.parametrize("form", [{}, {"method": "gold"}, {"email": "nobody"}])
def test_a_checkout_that_lacks_something_is_asked_for_again(client, form):
    fill_cart(client)
    assert client.post("/cart/checkout/", form).status_code == 400
    assert not Order.objects.exists()


def test_what_is_paid_at_the_bank_is_credited_to_the_click(client, sandbox):
    client.get(TAGGED)
    page = pay_later(client)
    order = Order.objects.get()
    assert order.paid_at is None
    assert not Conversion.objects.exists()
    assert "Not paid yet" in client.get(order.get_absolute_url()).content.decode()

    stranger = Client()  # another browser: the bank has no session of ours
    assert "86.69 USD" in stranger.get(page).content.decode()
    back = stranger.post(page, {"decision": "pay"})["Location"]
    assert back == order.get_absolute_url()
    assert not stranger.cookies.get("sessionid")

    order.refresh_from_db()
    assert order.paid_at is not None
    deliver()
    assert_reported(
        sandbox,
        order.number,
        value="86.69",
        event_time=order.placed_at,
        click=Attribution.objects.get(),
    )
    assert sandbox.received_count == 1
    assert "Thank you" in client.get(order.get_absolute_url()).content.decode()


def test_what_the_bank_declines_is_not_reported_and_can_be_paid_again(client, sandbox):
    client.get(TAGGED)
    page = pay_later(client)
    client.post(page, {"decision": "decline"})
    assert Order.objects.get().paid_at is None
    assert not Conversion.objects.exists()
    deliver()
    assert sandbox.received_count == 0

    client.post(page, {"decision": "pay"})
    assert Conversion.objects.get().state == State.PENDING


def test_an_invoice_that_the_shop_has_not_written_is_not_paid(client):
    page = pay_later(client)
    forged = page.replace("/bank/", "/bank/e")
    assert client.post(forged, {"decision": "pay"}).status_code == 404
    assert Order.objects.get().paid_at is None


def test_a_notice_may_come_again_and_must_be_signed(client):
    client.get(TAGGED)
    pay_later(client)
    order = Order.objects.get()
    paid = {"reference": order.number, "status": "paid"}
    for signature in ("", "0" * 64, "é"):
        assert notify(paid, signature).status_code == 403
    assert notify({"reference": order.number}).status_code == 400
    assert notify([]).status_code == 400
    assert notify(paid | {"reference": "ORD-1"}).status_code == 404
    assert not Conversion.objects.exists()

    assert notify(paid).status_code == 204
    order.refresh_from_db()
    paid_at = order.paid_at
    assert notify(paid).status_code == 204
    order.refresh_from_db()
    assert order.paid_at == paid_at
    assert Conversion.objects.count() == 1


def test_an_order_that_is_not_paid_can_be_cancelled_by_its_customer(client):
    page = pay_later(client)
    order = Order.objects.get()
    cancel = reverse("shop:cancel", args=[order.number])
    assert Client().post(cancel).status_code == 404
    client.post(cancel)
    assert "Cancelled" in client.get(order.get_absolute_url()).content.decode()
    assert bar(client)[1:] == [f"Order {order.number} cancelled"]
    client.post(page, {"decision": "pay"})
    assert not Conversion.objects.exists()


def test_an_order_that_is_paid_is_not_cancelled(client):
    client.post("/checkout/", CART)
    order = Order.objects.get()
    client.post(reverse("shop:cancel", args=[order.number]))
    order.refresh_from_db()
    assert order.cancelled_at is None


def test_the_bar_tells_what_the_app_has_done(client, sandbox):
    assert bar(client, "/") == [NO_CLICK]
    assert bar(client, TAGGED) == [CLICKED]
    assert bar(client, "/cart/") == [CLICKED]
    page = pay_later(client)
    order = Order.objects.get()
    assert bar(client) == [CLICKED, f"Order {order.number} placed, not paid yet"]

    client.post(page, {"decision": "pay"})
    recorded = f"Order {order.number} recorded"
    thanks = order.get_absolute_url()
    assert bar(client, thanks) == [CLICKED, recorded, "Waits to be sent"]
    assert "bar.js" in client.get(thanks).content.decode()
    assert client.get("/visit/").json()["settled"] is False

    deliver()
    at = Conversion.objects.get().delivered_at
    delivered = f"Delivered {at:%H:%M} UTC"
    assert bar(client) == bar(client, thanks) == [CLICKED, recorded, delivered]
    assert client.get("/visit/").json()["settled"] is True
    assert "bar.js" not in client.get(thanks).content.decode()
    assert bar(Client()) == [NO_CLICK]


def test_the_bar_says_why_an_order_is_not_reported(client, sandbox):
    client.post("/checkout/", CART)
    assert bar(client)[-1] == "Not reported: no click on a WhatsApp ad is known for it"
    client.get(TAGGED)
    client.post("/checkout/", CART)
    sandbox.behave("400:Meta has its reasons", times=1)
    deliver()
    assert bar(client)[-1] == "Rejected: Connectly or Meta refused it"
    client.get(TAGGED)
    client.post("/checkout/", CART)
    Conversion.objects.filter(state=State.PENDING).update(state=State.SENDING)
    assert bar(client)[-1] == "Is being sent"


def test_the_bar_shortens_an_id_that_a_foot_has_no_room_for(client):
    client.get(TAGGED.replace("send-1", "5f0c9a34-3b6d-4a8f-9a2e-7d1c2b3a4e5f"))
    assert bar(client) == ["Click captured: campaign 5f0c9a34…, ad 120210"]


def test_every_product_has_a_picture_of_its_own():
    pictures = list(Product.objects.values_list("picture", flat=True))
    assert len(set(pictures)) == len(pictures) == 8
    for picture in (*pictures, Product().picture):
        assert finders.find(picture), picture


def test_no_page_needs_anything_inline_or_from_elsewhere(client):
    client.get(TAGGED)
    fill_cart(client)
    pages = ["/", "/product/mug-white/", "/cart/", "/cart/checkout/"]
    pages.append(pay_later(client))
    pages.append(Order.objects.get().get_absolute_url())
    for path in pages:
        page = client.get(path).content.decode()
        assert not re.search(r"<style|style=|\son\w+=|https?://|javascript:", page)
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))


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
