"""Oscar's checkout through its own pages, to what Connectly gets."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from oscar.apps.basket import middleware as basket_middleware
from oscar.apps.checkout.applicator import SurchargeApplicator
from oscar.apps.checkout.surcharges import PercentageCharge
from oscar.apps.checkout.views import PaymentDetailsView
from oscar.apps.partner import strategy
from oscar.apps.payment.exceptions import RedirectRequired
from oscar.apps.shipping.methods import Free
from oscar.core.loading import get_model
from oscar.test import factories

from connectly_tracking import outbox
from connectly_tracking.contrib.oscar.adapter import purchase
from connectly_tracking.delivery import deliver
from connectly_tracking.events import Purchase
from connectly_tracking.models import Conversion, OrderAttribution, Reason, State
from tests.conftest import make_click, table_refused

from .customer import EMAIL, Customer, purchases

if TYPE_CHECKING:
    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db

Order = get_model("order", "Order")


def pay(order: Any) -> None:
    """The provider's webhook: another client, without a session."""
    url = reverse("paid", kwargs={"number": order.number})
    assert Client().post(url).status_code == 204


def test_a_guest_who_followed_an_ad_is_delivered_in_one_request_to_the_penny(
    customer: Customer, tee: Any, sandbox: Sandbox
) -> None:
    customer.follow_the_ad()
    customer.take(tee, 3)
    order = customer.check_out()
    deliver()
    (body,) = purchases(sandbox)
    assert body["cnct_tracking_id"] == "track-1"
    assert body["attribution"]["meta_ctwa"] == {
        "ctwa_clid": "clid-1",
        "ad_id": "120210",
    }
    assert body["payload"] == {
        "order_id": order.number,
        "value": Decimal("53.97"),  # 3 * 16.66 + 3.99
        "currency": "GBP",
        "event_time": int(order.date_placed.timestamp()),
        "content_type": "product",
        "content_ids": ["sku-tee"],
        "num_items": 3,
        "contents": [
            {"id": "sku-tee", "quantity": 3, "item_price": Decimal("16.66")},
        ],
    }
    assert Conversion.objects.get().state == State.DELIVERED
    assert order.guest_email == EMAIL
    assert order.user is None


def test_a_customer_who_logs_in_after_the_ad_is_delivered_in_one_request(
    customer: Customer, tee: Any, sandbox: Sandbox
) -> None:
    customer.follow_the_ad()
    customer.take(tee)
    customer.log_in()
    order = customer.check_out()
    deliver()
    (body,) = purchases(sandbox)
    assert body["payload"]["order_id"] == order.number
    assert body["payload"]["value"] == Decimal("20.65")
    assert order.user.email == EMAIL


def test_a_customer_may_follow_the_ad_on_the_phone_and_buy_on_the_desk(
    customer: Customer, tee: Any, sandbox: Sandbox
) -> None:
    phone = Customer()
    phone.follow_the_ad()
    phone.log_in()
    customer.log_in()
    customer.take(tee)
    order = customer.check_out()
    deliver()
    (body,) = purchases(sandbox)
    assert body["payload"]["order_id"] == order.number


def test_an_order_without_a_click_says_so_and_is_not_sent(
    customer: Customer, tee: Any, sandbox: Sandbox
) -> None:
    customer.take(tee)
    order = customer.check_out()
    deliver()
    assert purchases(sandbox) == []
    row = Conversion.objects.get()
    assert (row.order_id, row.reason) == (order.number, Reason.NOT_ATTRIBUTED)
    assert not OrderAttribution.objects.exists()


@pytest.mark.parametrize("is_guest", [True, False])
def test_an_order_that_a_webhook_says_is_paid_is_delivered_with_its_customers_click(
    customer: Customer, tee: Any, sandbox: Sandbox, configure: Any, is_guest: bool
) -> None:
    configure(OSCAR_PURCHASE_STATUS="Paid")
    customer.follow_the_ad()
    if not is_guest:
        customer.log_in()
    customer.take(tee, 2)
    order = customer.check_out()
    assert not Conversion.objects.exists()
    placed = timezone.now() - timedelta(minutes=2)
    Order.objects.update(date_placed=placed)  # the provider takes its time
    pay(order)
    pay(order)
    deliver()
    (body,) = purchases(sandbox)
    assert body["payload"]["order_id"] == order.number
    assert body["payload"]["value"] == Decimal("37.31")
    assert body["payload"]["event_time"] == int(placed.timestamp())


def test_an_order_that_is_placed_at_the_chosen_status_is_reported_at_once(
    customer: Customer, tee: Any, configure: Any
) -> None:
    configure(OSCAR_PURCHASE_STATUS="Pending")
    customer.follow_the_ad()
    customer.take(tee)
    customer.check_out()
    assert Conversion.objects.get().state == State.PENDING


def test_a_status_that_is_not_chosen_reports_nothing_twice(
    customer: Customer, tee: Any
) -> None:
    customer.follow_the_ad()
    customer.take(tee)
    order = customer.check_out()
    before = Conversion.objects.values().get()
    pay(order)
    assert Conversion.objects.values().get() == before


def test_an_order_that_the_payments_webhook_places_has_its_customers_click(
    customer: Customer, tee: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(view: Any, number: Any, total: Any, **_: Any) -> None:
        raise RedirectRequired("https://pay.example/")

    monkeypatch.setattr(PaymentDetailsView, "handle_payment", elsewhere)
    customer.follow_the_ad()
    customer.take(tee)
    assert customer.send_order().headers["Location"] == "https://pay.example/"
    assert not Order.objects.exists()

    basket = get_model("basket", "Basket").objects.get()
    basket.strategy = strategy.Default()
    order = factories.create_order(
        number=100_000 + basket.pk, basket=basket, shipping_method=Free()
    )
    deliver()
    (body,) = purchases(sandbox)
    assert body["payload"]["order_id"] == str(order.number)
    assert body["payload"]["value"] == Decimal("16.66")


@pytest.mark.parametrize("keeps_unattributed", [True, False])
@pytest.mark.parametrize("status", [None, "Paid"])
def test_a_checkout_of_the_shops_own_needs_nothing_but_oscars_mixin(
    customer: Customer,
    tee: Any,
    sandbox: Sandbox,
    configure: Any,
    monkeypatch: pytest.MonkeyPatch,
    keeps_unattributed: bool,
    status: str | None,
) -> None:
    configure(
        RECORD_UNATTRIBUTED=keeps_unattributed,
        OSCAR_PURCHASE_STATUS=status,
        STRICT=True,
    )
    monkeypatch.setattr(basket_middleware, "selector", Unasked())
    customer.follow_the_ad()
    customer.take(tee)
    customer.buy_at_once()
    order = Order.objects.get()
    if status is not None:
        assert not Conversion.objects.exists()
        pay(order)
    deliver()
    (body,) = purchases(sandbox)
    assert body["payload"]["order_id"] == order.number


class Unasked(strategy.Selector):  # type: ignore[misc]
    """Prices that do not depend on who asks."""

    def strategy(self, request: Any = None, user: Any = None, **_: Any) -> Any:
        return strategy.Default()


class Taxed(strategy.Selector):  # type: ignore[misc]
    """A tax that leaves prices of four places."""

    def strategy(self, request: Any = None, user: Any = None, **_: Any) -> Any:
        return Strategy(request)


class Strategy(strategy.UK):  # type: ignore[misc]
    rate = Decimal("0.175")


def test_the_amounts_are_those_that_the_shop_keeps_and_not_those_in_hand(
    customer: Customer, tee: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(basket_middleware, "selector", Taxed())
    monkeypatch.setattr(
        SurchargeApplicator,
        "get_surcharges",
        lambda *_, **__: (PercentageCharge(Decimal("2.5")),),
    )
    customer.follow_the_ad()
    customer.take(tee, 3)
    order = customer.check_out()
    deliver()
    (body,) = purchases(sandbox)
    # 16.66 and 17.5 % make 19.5755, three times 58.73; with 3.99 and 2.5 %: 64.288.
    assert body["payload"]["value"] == order.total_incl_tax == Decimal("64.29")
    (line,) = body["payload"]["contents"]
    assert line["item_price"] == order.lines.get().unit_price_incl_tax
    assert line["item_price"] == Decimal("19.58")


@pytest.mark.parametrize(("percent", "value"), [(20, "30.65"), (100, "3.99")])
def test_a_voucher_lowers_the_value_and_leaves_the_items_price(
    customer: Customer, tee: Any, sandbox: Sandbox, percent: int, value: str
) -> None:
    put_on_offer(percent)
    customer.follow_the_ad()
    customer.take(tee, 2)
    customer.redeem("ADA")
    customer.check_out()
    deliver()
    (body,) = purchases(sandbox)
    assert body["payload"]["value"] == Decimal(value)
    (line,) = body["payload"]["contents"]
    assert (line["quantity"], line["item_price"]) == (2, Decimal("16.66"))


def put_on_offer(percent: int) -> None:
    everything = factories.RangeFactory(includes_all_products=True)
    benefit = factories.BenefitFactory(
        type="Percentage", value=percent, range=everything, max_affected_items=None
    )
    condition = factories.ConditionFactory(type="Count", value=1, range=everything)
    voucher = factories.VoucherFactory(code="ADA")
    voucher.offers.add(
        factories.create_offer(
            offer_type="Voucher", benefit=benefit, condition=condition
        )
    )


def test_an_order_for_nothing_is_a_purchase_of_nothing(
    customer: Customer, tee: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oscar.apps.shipping.repository.Repository.methods", (Free(),))
    put_on_offer(100)
    customer.follow_the_ad()
    customer.take(tee)
    customer.redeem("ADA")
    order = customer.check_out()
    deliver()
    (body,) = purchases(sandbox)
    assert order.total_incl_tax == body["payload"]["value"] == 0


def test_lines_of_several_partners_go_by_their_own_skus(
    customer: Customer, tee: Any, sandbox: Sandbox
) -> None:
    cap = factories.create_product(
        partner_sku="sku-cap",
        partner_name="Hatter",
        price=Decimal("9.10"),
        num_in_stock=5,
    )
    customer.follow_the_ad()
    customer.take(tee)
    customer.take(cap, 2)
    customer.check_out()
    deliver()
    (body,) = purchases(sandbox)
    assert body["payload"]["content_ids"] == ["sku-tee", "sku-cap"]
    assert body["payload"]["value"] == Decimal("38.85")
    assert body["payload"]["num_items"] == 3


def test_an_order_that_is_cancelled_before_it_was_sent_is_not_sent(
    customer: Customer, tee: Any, sandbox: Sandbox
) -> None:
    customer.follow_the_ad()
    customer.take(tee)
    customer.check_out().set_status("Cancelled")
    deliver()
    assert purchases(sandbox) == []
    assert Conversion.objects.get().reason == Reason.CANCELLED


def test_an_order_that_is_cancelled_after_it_was_sent_is_marked(
    customer: Customer, tee: Any, sandbox: Sandbox
) -> None:
    customer.follow_the_ad()
    customer.take(tee)
    order = customer.check_out()
    deliver()
    order.set_status("Cancelled")
    row = Conversion.objects.get()
    assert row.state == State.DELIVERED
    assert row.cancelled_at is not None


def test_an_order_that_is_cancelled_before_it_was_paid_leaves_nothing(
    customer: Customer, tee: Any, configure: Any
) -> None:
    configure(OSCAR_PURCHASE_STATUS="Paid")
    customer.follow_the_ad()
    customer.take(tee)
    customer.check_out().set_status("Cancelled")
    assert not Conversion.objects.exists()


def test_which_statuses_cancel_is_the_shops_choice(
    customer: Customer, tee: Any, configure: Any
) -> None:
    configure(OSCAR_CANCEL_STATUSES=["Paid"])  # a strange shop
    customer.follow_the_ad()
    customer.take(tee)
    pay(customer.check_out())
    assert Conversion.objects.get().reason == Reason.CANCELLED


def test_a_customer_who_refused_is_not_reported_by_an_older_click(
    customer: Customer, tee: Any, sandbox: Sandbox, configure: Any
) -> None:
    customer.log_in()
    make_click(user=get_user_model()._default_manager.get())
    configure(CONSENT=lambda request: False)
    customer.take(tee)
    customer.check_out()
    deliver()
    assert purchases(sandbox) == []
    assert Conversion.objects.get().reason == Reason.CONSENT_REFUSED


def prefixed(order: Any) -> Purchase:
    """A shop's own adapter, with ids of its own and without the shipping."""
    return Purchase(
        order_id=f"UK-{order.number}",
        value=order.basket_total_incl_tax,
        currency=order.currency,
        event_time=order.date_placed,
    )


@pytest.mark.parametrize("status", [None, "Paid"])
def test_an_adapter_of_the_shops_own_wins(
    customer: Customer, tee: Any, sandbox: Sandbox, configure: Any, status: str | None
) -> None:
    configure(ORDER_ADAPTER=prefixed, OSCAR_PURCHASE_STATUS=status)
    customer.follow_the_ad()
    customer.take(tee)
    order = customer.check_out()
    pay(order)
    deliver()
    (body,) = purchases(sandbox)
    assert body["payload"]["order_id"] == f"UK-{order.number}"
    assert body["payload"]["value"] == Decimal("16.66")


def test_an_order_is_cancelled_by_the_id_that_it_was_reported_with(
    customer: Customer, tee: Any, configure: Any
) -> None:
    configure(ORDER_ADAPTER=prefixed)
    customer.follow_the_ad()
    customer.take(tee)
    customer.check_out().set_status("Cancelled")
    assert Conversion.objects.get().reason == Reason.CANCELLED


def test_an_adapter_that_fails_costs_no_order_and_is_said(
    customer: Customer, tee: Any, configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(order: Any) -> Purchase:
        with connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column")
        raise AssertionError

    configure(ORDER_ADAPTER=broken)
    customer.follow_the_ad()
    customer.take(tee)
    order = customer.check_out()
    order.set_status("Cancelled")
    assert "order_not_recorded" in caplog.text
    assert f"order_not_cancelled order_id={order.number}" in caplog.text


def test_a_resolver_of_businesses_gets_oscars_order_and_the_customers_request(
    customer: Customer, tee: Any, settings: Any, configure: Any
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    asked = []

    def resolve(request: Any, order: Any) -> str:
        asked.append((request, order))
        return "br"

    configure(BUSINESSES={"br": own}, BUSINESS_RESOLVER=resolve)
    customer.take(tee)
    customer.check_out()
    ((request, order),) = asked
    assert isinstance(request, HttpRequest)
    assert isinstance(order, Order)
    assert Conversion.objects.get().business == "br"


@pytest.mark.parametrize("is_atomic", [True, False])
def test_a_table_that_refuses_costs_no_order(
    customer: Customer,
    tee: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_atomic: bool,
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", is_atomic)
    customer.follow_the_ad()
    customer.take(tee)
    with table_refused("connectly_tracking_conversion"):
        order = customer.check_out()
    assert f"order_not_recorded order_id={order.number}" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"OSCAR_PURCHASE_STATUS": 7}, "order_not_recorded"),
        ({"OSCAR_CANCEL_STATUSES": "Cancelled"}, "order_not_cancelled"),
    ],
)
def test_a_wrong_setting_costs_no_order_and_is_said(
    customer: Customer,
    tee: Any,
    configure: Any,
    caplog: pytest.LogCaptureFixture,
    wrong: dict[str, Any],
    said: str,
) -> None:
    configure(**wrong, STRICT=True)
    customer.follow_the_ad()
    customer.take(tee)
    order = customer.check_out()
    order.set_status("Cancelled")
    assert f"{said} order_id={order.number}" in caplog.text


def test_an_order_that_is_placed_for_a_user_without_a_request_has_that_users_click(
    shop: None,
) -> None:
    user = factories.UserFactory()
    make_click(user=user)
    factories.create_order(number="100001", user=user)
    assert Conversion.objects.get().state == State.PENDING


def test_an_order_that_is_rolled_back_leaves_no_row(shop: None) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        factories.create_order(number="100001")
        assert Conversion.objects.count() == 1
        raise ZeroDivisionError
    assert not Conversion.objects.exists()


def test_an_order_of_the_past_can_be_recorded_as_the_checkout_would_have(
    shop: None,
) -> None:
    order = factories.create_order(number="100001")
    row = Conversion.objects.get()
    assert outbox.record(purchase(order), attribution=make_click()).pk == row.pk
    row.refresh_from_db()
    assert row.state == State.PENDING
