"""Each recipe of docs/developer, run as it stands there."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.backends.db import SessionStore

from connectly_tracking import attribution
from connectly_tracking.delivery import deliver
from connectly_tracking.models import Attribution, Conversion, Reason, State
from connectly_tracking.testing.assertions import assert_reported
from example_project.shop import models as shop_models
from example_project.shop.models import Order, Product

from .conftest import LANDING, TAGGED

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.test import RequestFactory

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
PAGES = Path(__file__).parent.parent / "docs/developer"
TEXT = "".join(page.read_text() for page in sorted(PAGES.glob("*.md")))
RECIPES = dict(re.findall(r"<!-- recipe: (\w+) -->\n```python\n(.*?)```", TEXT, re.S))
ORDER_PAID = {"id": "evt_1Pabc", "object": "event", "livemode": False}


@pytest.fixture
def cook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The functions of a recipe, as a shop's module would have them."""
    monkeypatch.setitem(sys.modules, "shop", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "shop.models", shop_models)

    def cook(name: str) -> SimpleNamespace:
        names: dict[str, Any] = {}
        exec(RECIPES[name], names)  # noqa: S102 - our own documentation
        return SimpleNamespace(**names)

    return cook


@pytest.fixture
def visit(rf: RequestFactory) -> HttpRequest:
    request = rf.get(TAGGED)
    request.session = SessionStore()
    attribution.land(request)
    return request


@pytest.fixture
def order(db: None) -> Order:
    product, _ = Product.objects.update_or_create(
        sku="tee", defaults={"name": "Tee", "price": "49.99", "currency": "USD"}
    )
    product.refresh_from_db()
    placed = Order.objects.place(product, quantity=2)
    return Order.objects.get(pk=placed.pk)


def delivered(sandbox: Sandbox, order: Order) -> None:
    """That this order, and nothing else, reached Connectly with the right click."""
    deliver()
    click = Attribution.objects.get()
    assert_reported(
        sandbox, order.number, value="99.98", event_time=order.placed_at, click=click
    )
    assert click.landing == LANDING
    assert sandbox.received_count == 1


def test_every_recipe_has_a_test() -> None:
    assert set(RECIPES) == {
        name.removeprefix("test_").partition("__")[0]
        for name in globals()
        if "__" in name and name.startswith("test_")
    }


def checkout_session(order_id: str, **fields: Any) -> dict[str, Any]:
    session = {
        "id": "cs_test_a1",
        "object": "checkout.session",
        "client_reference_id": order_id,
        "payment_status": "paid",
        "amount_total": 9998,
    }
    return ORDER_PAID | {
        "type": "checkout.session.completed",
        "data": {"object": session | fields},
    }


def test_stripe_checkout__paid_at_once(
    cook: Any, visit: HttpRequest, order: Order, sandbox: Sandbox
) -> None:
    recipe = cook("stripe_checkout")
    sent = recipe.start(visit, order)
    for _ in range(2):  # a webhook is repeated
        recipe.webhook(checkout_session(sent["client_reference_id"]))
    delivered(sandbox, order)


def test_stripe_checkout__paid_later(
    cook: Any, visit: HttpRequest, order: Order, sandbox: Sandbox
) -> None:
    recipe = cook("stripe_checkout")
    recipe.start(visit, order)
    recipe.webhook(checkout_session(order.number, payment_status="unpaid"))
    assert not Conversion.objects.exists()
    paid = checkout_session(order.number)
    recipe.webhook(paid | {"type": "checkout.session.async_payment_succeeded"})
    delivered(sandbox, order)


def test_stripe_checkout__webhook_before_the_view(
    cook: Any, visit: HttpRequest, order: Order, sandbox: Sandbox
) -> None:
    recipe = cook("stripe_checkout")
    recipe.webhook(checkout_session(order.number))
    assert Conversion.objects.get().reason == Reason.NOT_ATTRIBUTED
    recipe.start(visit, order)
    delivered(sandbox, order)


@pytest.mark.parametrize("status", ["no_payment_required", "paid"])
def test_stripe_checkout__a_free_order(
    cook: Any, visit: HttpRequest, order: Order, status: str
) -> None:
    recipe = cook("stripe_checkout")
    recipe.start(visit, order)
    Order.objects.update(total=0)
    recipe.webhook(
        checkout_session(order.number, payment_status=status, amount_total=0)
    )
    row = Conversion.objects.get()
    assert row.state == State.PENDING
    assert row.value == 0


#: What Stripe sends besides; some of it by hand (`stripe trigger`).
STRIPE_OTHERS = [
    checkout_session("ORD-0"),  # of another shop with the same account
    checkout_session("", client_reference_id=None),  # a payment link
    checkout_session("", mode="setup", payment_status="no_payment_required"),
    checkout_session("") | {"type": "checkout.session.expired"},
    checkout_session("") | {"type": "checkout.session.async_payment_failed"},
    {"type": "charge.refunded", "data": {"object": {"id": "ch_1", "metadata": {}}}},
    {"type": "charge.dispute.created", "data": {"object": {"id": "dp_1"}}},
    {
        "type": "payment_intent.succeeded",
        "data": {"object": {"id": "pi_1", "metadata": {}, "invoice": "in_1"}},
    },
    {
        "type": "payment_intent.payment_failed",
        "data": {"object": {"id": "pi_1", "metadata": {"cart": "cart-7"}}},
    },
    # Of the API's second version: without the object.
    {"object": "v2.core.event", "type": "v1.billing.meter.no_meter_found"},
]


@pytest.mark.parametrize("event", STRIPE_OTHERS, ids=lambda event: event["type"])
def test_stripe_checkout__what_is_no_paid_order_of_ours(
    cook: Any, visit: HttpRequest, order: Order, event: dict[str, Any]
) -> None:
    recipe = cook("stripe_checkout")
    recipe.start(visit, order)
    recipe.webhook(event)
    assert not Conversion.objects.exists()


@pytest.mark.parametrize("event", STRIPE_OTHERS, ids=lambda event: event["type"])
def test_stripe_payment_intent__what_is_no_paid_order_of_ours(
    cook: Any, event: dict[str, Any]
) -> None:
    cook("stripe_payment_intent").webhook(event, {}.__getitem__)
    assert not Conversion.objects.exists()


def test_stripe_payment_intent__order_made_by_the_webhook(
    cook: Any, visit: HttpRequest, order: Order, sandbox: Sandbox
) -> None:
    recipe = cook("stripe_payment_intent")
    cart = SimpleNamespace(id="cart-7", total_in_cents=9998)
    metadata = recipe.start(visit, cart)["metadata"]
    assert all(len(value) <= 500 for value in metadata.values())
    intent = {"id": "pi_3P", "object": "payment_intent", "metadata": metadata}
    event = ORDER_PAID | {"type": "payment_intent.succeeded"}
    for _ in range(2):
        recipe.webhook(
            event | {"data": {"object": intent}}, {"cart-7": order}.__getitem__
        )
    delivered(sandbox, order)


def test_stripe_payment_intent__a_customer_without_a_click(
    cook: Any, rf: RequestFactory, order: Order
) -> None:
    recipe = cook("stripe_payment_intent")
    request = rf.get("/")
    request.session = SessionStore()
    cart = SimpleNamespace(id="cart-7", total_in_cents=9998)
    metadata = recipe.start(request, cart)["metadata"]
    assert metadata["connectly"] == ""
    del metadata["connectly"]  # as Stripe does with an empty value
    event = {"type": "payment_intent.succeeded"}
    recipe.webhook(
        event | {"data": {"object": {"metadata": metadata}}},
        {"cart-7": order}.__getitem__,
    )
    assert Conversion.objects.get().reason == Reason.NOT_ATTRIBUTED


def test_paypal_of_a_customer_without_a_click_has_no_empty_value(
    cook: Any, rf: RequestFactory, order: Order
) -> None:
    request = rf.get("/")
    request.session = SessionStore()
    (unit,) = cook("paypal").start(request, order)["purchase_units"]
    assert unit == {"invoice_id": order.number}


def test_paypal__captured(
    cook: Any, visit: HttpRequest, order: Order, sandbox: Sandbox
) -> None:
    recipe = cook("paypal")
    (unit,) = recipe.start(visit, order)["purchase_units"]
    assert 0 < len(unit["custom_id"]) <= 127
    for number in (1, 2):
        recipe.webhook(
            {
                "id": f"WH-{number}",
                "event_type": "PAYMENT.CAPTURE.COMPLETED",
                "resource_type": "capture",
                "resource": {
                    "id": "27M47624FP291604U",
                    "status": "COMPLETED",
                    "amount": {"currency_code": "USD", "value": "99.98"},
                    **unit,
                },
            }
        )
    delivered(sandbox, order)


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        ("PAYMENT.CAPTURE.COMPLETED", {"id": "1", "invoice_id": "INVOICE-123"}),
        ("PAYMENT.CAPTURE.COMPLETED", {"id": "1", "amount": {"value": "7.00"}}),
        ("PAYMENT.CAPTURE.PENDING", {"id": "1", "invoice_id": "ORD"}),
        ("PAYMENT.CAPTURE.DENIED", {"id": "1", "invoice_id": "ORD"}),
        ("PAYMENT.CAPTURE.REFUNDED", {"id": "1", "invoice_id": "ORD"}),
        ("PAYMENT.CAPTURE.REVERSED", {"id": "1", "invoice_id": "ORD"}),
        ("CHECKOUT.ORDER.APPROVED", {"id": "1", "purchase_units": []}),
        ("CUSTOMER.DISPUTE.CREATED", {"dispute_id": "PP-D-1"}),
        ("BILLING.PLAN.CREATED", {}),
    ],
)
def test_paypal__what_is_no_paid_order_of_ours(
    cook: Any, order: Order, kind: str, resource: dict[str, Any]
) -> None:
    if resource.get("invoice_id") == "ORD":
        resource = resource | {"invoice_id": order.number}
    cook("paypal").webhook({"id": "WH-1", "event_type": kind, "resource": resource})
    assert not Conversion.objects.exists()


def test_mercado_pago__approved(
    cook: Any, visit: HttpRequest, order: Order, sandbox: Sandbox
) -> None:
    recipe = cook("mercado_pago")
    sent = recipe.start(visit, order)
    payments = {
        "1": {"id": 1, "status": "pending", **sent},
        "2": {"id": 2, "status": "approved", "currency_id": "BRL", **sent},
    }
    for number in ("1", "2", "2"):
        notification = {
            "action": "payment.updated",
            "api_version": "v1",
            "data": {"id": number},
            "type": "payment",
        }
        recipe.webhook(notification, payments.__getitem__)
    delivered(sandbox, order)


def test_mercado_pago__the_id_at_the_top(
    cook: Any, visit: HttpRequest, order: Order, sandbox: Sandbox
) -> None:
    recipe = cook("mercado_pago")
    sent = recipe.start(visit, order)
    payments = {"2": {"id": 2, "status": "approved", **sent}}
    recipe.webhook({"id": "2", "type": "payment"}, payments.get)
    delivered(sandbox, order)


@pytest.mark.parametrize(
    "notification",
    [
        {"id": 5402, "topic": "merchant_order"},
        {"topic": "merchant_order", "resource": "https://api.example/orders/1"},
        {"topic": "payment", "resource": "1"},
        {"topic": "chargebacks", "id": "1"},
        {"type": "test", "action": "test.created", "data": {"id": "123456"}},
        {"type": "payment", "action": "payment.created", "data": {"id": "123456"}},
        {"type": "payment", "data": None, "live_mode": False},
        {"type": "plan", "action": "updated", "data": {"id": "1"}},
        {"type": "subscription_authorized_payment", "data": {"id": "1"}},
        {"type": "topic_claims_integration_wh", "data": {"resource": "/claims/1"}},
        {"type": "point_integration_wh", "payment": {"id": 1}, "status": "CLOSED"},
        {},
    ],
)
def test_mercado_pago__what_is_no_payment(
    cook: Any, order: Order, notification: dict[str, Any]
) -> None:
    cook("mercado_pago").webhook(notification, {}.get)
    assert not Conversion.objects.exists()


@pytest.mark.parametrize(
    "payment",
    [
        *(
            {"status": status, "external_reference": "ORD"}
            for status in (
                "pending",
                "authorized",
                "in_process",
                "in_mediation",
                "rejected",
                "cancelled",
                "refunded",
                "charged_back",
            )
        ),
        {"status": "approved", "external_reference": None},  # a payment link
        {"status": "approved", "external_reference": "POS-7"},
        {"status": "approved"},
        {"status": 404, "error": "not_found", "message": "Payment not found"},
    ],
)
def test_mercado_pago__what_is_no_paid_order_of_ours(
    cook: Any, order: Order, payment: dict[str, Any]
) -> None:
    if payment.get("external_reference") == "ORD":
        payment = payment | {"external_reference": order.number}
    notification = {"type": "payment", "data": {"id": "1"}}
    cook("mercado_pago").webhook(notification, {"1": payment}.get)
    assert not Conversion.objects.exists()


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"Status": "CANCELLED"},
        {"Status": "AUTHORISED"},
        {"Status": "AUTHORISED", "TransactionReference": "ORD-0"},
    ],
)
def test_bank_redirect__what_is_no_paid_order_of_ours(
    cook: Any, rf: RequestFactory, form: dict[str, str]
) -> None:
    cook("bank_redirect").come_back(rf.post("/back", form))
    cook("bank_redirect").come_back(rf.get("/back", form))
    assert not Conversion.objects.exists()


def test_cash_on_delivery__a_parcel_that_is_no_order_of_ours(cook: Any) -> None:
    recipe = cook("cash_on_delivery")
    recipe.paid_at_the_door("PARCEL-1")
    recipe.came_back("PARCEL-1")
    assert not Conversion.objects.exists()


def test_bank_redirect__without_the_session(
    cook: Any, visit: HttpRequest, rf: RequestFactory, order: Order, sandbox: Sandbox
) -> None:
    recipe = cook("bank_redirect")
    sent = recipe.leave(visit, order)
    back = rf.post("/back", sent | {"Status": "AUTHORISED"})
    back.session = SessionStore()  # the browser left the cookie out
    recipe.come_back(back)
    delivered(sandbox, order)


def test_cash_on_delivery__paid_and_returned(
    cook: Any, visit: HttpRequest, order: Order, sandbox: Sandbox, configure: Any
) -> None:
    recipe = cook("cash_on_delivery")
    recipe.place(visit, order)
    recipe.paid_at_the_door(order.number)
    delivered(sandbox, order)
    recipe.came_back(order.number)
    row = Conversion.objects.get()
    assert (row.state, row.cancelled_at is not None) == (State.DELIVERED, True)


def test_headless__the_token_stays_with_the_cart(
    cook: Any, rf: RequestFactory, order: Order, sandbox: Sandbox
) -> None:
    recipe = cook("headless")
    api = rf.post("/api/landed")
    api.session = SessionStore()
    params = dict(pair.split("=") for pair in TAGGED[2:].split("&"))
    recipe.place(order, recipe.landed(api, params))
    delivered(sandbox, order)


def test_async_views__bought_at_once(
    cook: Any, visit: HttpRequest, order: Order, sandbox: Sandbox
) -> None:
    recipe = cook("async_views")
    product = Product.objects.get(sku="tee")
    delivered(sandbox, async_to_sync(recipe.buy)(visit, product))


def test_async_views__paid_later(
    cook: Any, visit: HttpRequest, order: Order, sandbox: Sandbox
) -> None:
    recipe = cook("async_views")
    async_to_sync(recipe.leave_to_pay)(visit, order)
    async_to_sync(recipe.paid)(order.number)
    delivered(sandbox, order)


@pytest.mark.parametrize("cart", [{}, {"connectly": ""}, {"connectly": None}])
def test_headless__a_customer_who_came_without_an_ad(
    cook: Any, order: Order, cart: dict[str, Any]
) -> None:
    cook("headless").place(order, cart)
    assert Conversion.objects.get().reason == Reason.NOT_ATTRIBUTED
    cook("content_views").looked_at(Product.objects.get(sku="tee"), cart)
    assert Conversion.objects.count() == 1


@pytest.mark.parametrize("params", [{}, {"utm_source": "wa"}, {"cnct_tracking_id": 7}])
def test_headless__a_landing_without_a_click(
    cook: Any, rf: RequestFactory, params: dict[str, Any]
) -> None:
    assert cook("headless").landed(rf.post("/api/landed"), params) == {"connectly": ""}


def seen(sandbox: Sandbox, product: Product) -> None:
    """That one view of this product reached Connectly, with the right click."""
    deliver()
    (event,) = sandbox.events
    body = json.loads(event.body)
    assert body["event_name"] == "ViewContent"
    assert body["cnct_tracking_id"] == LANDING.cnct_tracking_id
    assert body["payload"]["content_ids"] == [product.sku]
    assert body["payload"]["value"] == 49.99


@pytest.mark.parametrize("way", ["page", "signal", "function"])
def test_content_views__by_each_of_the_three_ways(
    cook: Any, visit: HttpRequest, order: Order, sandbox: Sandbox, way: str
) -> None:
    recipe = cook("content_views")
    product = Product.objects.get(sku="tee")
    visit.COOKIES["sessionid"] = "known"
    for _ in range(2):
        if way == "page":
            page = recipe.ProductView.as_view()(visit, slug="tee")
            assert page.status_code == 200
        elif way == "signal":
            recipe.shown(visit, product)
        else:
            recipe.looked_at(product, {"connectly": attribution.make_token(visit)})
    seen(sandbox, product)


def test_consent__by_a_managers_cookie(
    cook: Any, rf: RequestFactory, order: Order, sandbox: Sandbox, configure: Any
) -> None:
    recipe = cook("consent")
    configure(CONSENT=recipe.consent)
    request = rf.get(TAGGED)
    request.session = SessionStore()
    attribution.land(request)
    assert not Attribution.objects.exists()
    attribution.bind_order(request, order.number)
    cook("stripe_checkout").webhook(checkout_session(order.number))
    assert Conversion.objects.get().reason == Reason.CONSENT_PENDING
    request.COOKIES["klaro"] = quote(json.dumps({"connectly": True}))
    recipe.answered(request)
    delivered(sandbox, order)
