"""docs/developer/payments.md, through the package's own pages, to Connectly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from payments import PaymentStatus
from payments.signals import status_changed

from connectly_tracking.delivery import deliver
from connectly_tracking.models import Attribution, Conversion, Reason, State
from connectly_tracking.testing.assertions import assert_reported
from tests.conftest import LANDING

from . import recipe
from .customer import call, call_one_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectly_tracking.sandbox import Sandbox

    from .customer import Customer

pytestmark = pytest.mark.django_db


def assert_delivered(sandbox: Sandbox, order: Any) -> None:
    """That this order, and nothing else, reached Connectly once, with its click."""
    deliver()
    click = Attribution.objects.get()
    assert_reported(
        sandbox, order.number, value="99.98", event_time=order.placed_at, click=click
    )
    assert click.landing == LANDING
    assert sandbox.received_count == 1


def test_a_customer_who_pays_on_the_page_is_delivered(
    customer: Customer, sandbox: Sandbox
) -> None:
    customer.follow_the_ad()
    payment = customer.check_out()
    assert not Conversion.objects.exists()
    assert customer.pay(payment, PaymentStatus.CONFIRMED) == "/done/"
    assert_delivered(sandbox, payment.order)


def test_a_customer_whose_bank_asks_once_more_is_delivered(
    customer: Customer, sandbox: Sandbox
) -> None:
    customer.follow_the_ad()
    payment = customer.check_out()
    url = customer.pay(
        payment,
        PaymentStatus.WAITING,
        gateway_response="3ds-redirect",
        verification_result=PaymentStatus.CONFIRMED,
    )
    assert customer.client.get(url).headers["Location"] == "/done/"
    assert_delivered(sandbox, payment.order)


@pytest.mark.parametrize("calls", [call, call_one_url])
def test_a_webhook_that_knows_no_session_and_is_repeated_is_one_order(
    customer: Customer, sandbox: Sandbox, calls: Callable[[Any, str], None]
) -> None:
    customer.follow_the_ad()
    payment = customer.check_out()
    for _ in range(3):
        calls(payment, PaymentStatus.CONFIRMED)
    assert_delivered(sandbox, payment.order)


def test_a_second_try_after_a_payment_that_failed_is_delivered(
    customer: Customer, sandbox: Sandbox
) -> None:
    customer.follow_the_ad()
    payment = customer.check_out()
    assert customer.pay(payment, PaymentStatus.REJECTED) == "/failed/"
    assert not Conversion.objects.exists()
    payment.pk, payment.token = None, ""
    payment.save()
    call(payment, PaymentStatus.CONFIRMED)
    assert_delivered(sandbox, payment.order)


def test_what_is_reserved_is_recorded_when_it_is_captured(
    customer: Customer, sandbox: Sandbox
) -> None:
    customer.follow_the_ad()
    payment = customer.check_out()
    customer.pay(payment, PaymentStatus.PREAUTH)
    assert not Conversion.objects.exists()
    payment.refresh_from_db()
    payment.capture(payment.total)
    assert_delivered(sandbox, payment.order)


def test_what_is_reserved_and_given_back_is_nothing_to_report(
    customer: Customer,
) -> None:
    customer.follow_the_ad()
    payment = customer.check_out()
    customer.pay(payment, PaymentStatus.PREAUTH)
    payment.refresh_from_db()
    payment.release()
    assert not Conversion.objects.exists()


@pytest.mark.parametrize("calls", [call, call_one_url])
def test_a_refund_that_comes_in_time_stops_the_order(
    customer: Customer, sandbox: Sandbox, calls: Callable[[Any, str], None]
) -> None:
    customer.follow_the_ad()
    payment = customer.check_out()
    calls(payment, PaymentStatus.CONFIRMED)
    calls(payment, PaymentStatus.REFUNDED)
    deliver()
    row = Conversion.objects.get()
    assert (row.state, row.reason) == (State.SKIPPED, Reason.CANCELLED)
    assert sandbox.received_count == 0


def test_a_refund_in_full_after_it_was_sent_is_noted_and_one_in_part_is_not(
    customer: Customer, sandbox: Sandbox
) -> None:
    customer.follow_the_ad()
    payment = customer.check_out()
    customer.pay(payment, PaymentStatus.PREAUTH)
    payment.refresh_from_db()
    payment.capture(payment.total)
    assert_delivered(sandbox, payment.order)
    payment.refund(payment.total / 2)
    assert Conversion.objects.get().cancelled_at is None
    payment.refund(payment.total / 2)
    row = Conversion.objects.get()
    assert (row.state, row.cancelled_at is not None) == (State.DELIVERED, True)


def test_an_order_that_was_paid_twice_and_refunded_once_is_a_purchase(
    customer: Customer, sandbox: Sandbox
) -> None:
    customer.follow_the_ad()
    payment = customer.check_out()
    call(payment, PaymentStatus.CONFIRMED)
    first = type(payment).objects.get()
    payment.pk, payment.token = None, ""
    payment.save()
    call(payment, PaymentStatus.CONFIRMED)
    call(first, PaymentStatus.REFUNDED)
    assert_delivered(sandbox, payment.order)


def test_a_customer_without_a_click_is_recorded_as_such(customer: Customer) -> None:
    payment = customer.check_out()
    customer.pay(payment, PaymentStatus.CONFIRMED)
    assert Conversion.objects.get().reason == Reason.NOT_ATTRIBUTED


def test_a_payment_that_is_rolled_back_is_not_reported(customer: Customer) -> None:
    def fail(**_: Any) -> None:
        assert Conversion.objects.exists()
        raise RuntimeError

    customer.follow_the_ad()
    payment = customer.check_out()
    status_changed.connect(fail)
    try:
        provider = Client(raise_request_exception=False)
        url = payment.get_process_url()
        sent = provider.get(url, {"verification_result": PaymentStatus.CONFIRMED})
    finally:
        status_changed.disconnect(fail)
    assert sent.status_code == 500
    assert not Conversion.objects.exists()
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.INPUT


def test_the_page_names_each_of_its_files() -> None:
    assert recipe.PAGE.read_text().count("```python\n") == len(recipe.documented()) == 4
