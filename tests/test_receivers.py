"""The signal, as a shop sends it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection, transaction
from django.db.models.signals import post_save

from connectly_tracking.events import Item
from connectly_tracking.exceptions import InvalidEvent
from connectly_tracking.models import Attribution, Conversion, Reason, State
from connectly_tracking.signals import order_completed
from example_project.shop.models import Order, Product

from .conftest import cpu_time_below, make_product, make_purchase, table_refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import RequestFactory

pytestmark = pytest.mark.django_db


def place() -> Order:
    return Order.objects.place(make_product(), quantity=2)


def test_an_order_goes_through_the_adapter(click: Attribution) -> None:
    order = place()
    order_completed.send(sender=Order, order=order, attribution=click)
    row = Conversion.objects.get()
    assert (row.order_id, row.state) == (order.number, State.PENDING)
    assert row.value == order.total


def test_a_resolver_gets_the_shops_own_order(configure: Any) -> None:
    seen: list[object] = []

    def resolver(request: object, order: object) -> str:
        seen.append(order)
        return "default"

    configure(BUSINESS_RESOLVER=resolver)
    order = place()
    order_completed.send(sender=Order, order=order)
    assert seen == [order]


def test_a_transaction_that_the_database_ended_is_not_passed_over(
    configure: Any,
) -> None:
    configure(ORDER_ADAPTER=lambda order: order.no_such_field)

    def fail(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("ROLLBACK TO"):  # as after a deadlock of MySQL's
            raise OperationalError("SAVEPOINT does not exist")
        return execute(sql, *rest)

    with pytest.raises(AttributeError), transaction.atomic(durable=False):
        order = place()
        with connection.execute_wrapper(fail):
            order_completed.send(sender=Order, order=order)
    assert not Order.objects.exists()


def test_a_database_that_does_not_exist_costs_the_order_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    order_completed.send(sender=Order, purchase=make_purchase(), using="nowhere")
    assert "order_not_recorded" in caplog.text


def test_a_purchase_needs_no_adapter(click: Attribution, configure: Any) -> None:
    configure(ORDER_ADAPTER=None)
    order_completed.send(sender=Order, purchase=make_purchase(), attribution=click)
    assert Conversion.objects.get().state == State.PENDING


def test_the_signal_three_times_is_one_row(click: Attribution) -> None:
    order = place()
    for _ in range(3):
        order_completed.send(sender=Order, order=order, attribution=click)
    assert Conversion.objects.count() == 1


def test_a_misspelt_argument_is_refused_and_the_order_is_named() -> None:
    order_completed.send(sender=Order, purchase=make_purchase(), atribution=1)
    row = Conversion.objects.get()
    assert (row.order_id, row.reason) == ("ORD-7821", Reason.INVALID)
    assert row.detail == "order_completed: has no argument atribution"


@pytest.mark.parametrize("arguments", [{}, {"order": None}, {"both": True}])
def test_neither_or_both_of_order_and_purchase_is_refused(
    arguments: dict[str, Any],
) -> None:
    if arguments.pop("both", False):
        arguments = {"order": place(), "purchase": make_purchase()}
    order_completed.send(sender=Order, **arguments)
    row = Conversion.objects.get()
    assert row.detail == "order_completed: needs either order= or purchase="


def test_strict_raises_on_bad_input(configure: Any) -> None:
    configure(STRICT=True)
    with pytest.raises(InvalidEvent, match="value"):
        order_completed.send(sender=Order, purchase=make_purchase(value=-1))


def test_an_adapter_that_fails_costs_the_order_nothing_and_is_logged_with_its_key(
    configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(ORDER_ADAPTER=lambda order: order.no_such_field)
    with transaction.atomic():
        order = place()
        order_completed.send(sender=Order, order=order)
    assert Order.objects.filter(pk=order.pk).exists()
    message = f"order_not_recorded order_id=pk:{order.pk} error=AttributeError"
    assert message in caplog.text


@pytest.mark.parametrize("made", [None, {"order_id": "7"}, make_purchase("")])
def test_an_order_whose_number_is_not_known_is_logged_with_its_key(
    configure: Any, caplog: pytest.LogCaptureFixture, made: Any
) -> None:
    configure(ORDER_ADAPTER=lambda order: made)
    order_completed.send(sender=None, order=Order(pk=17))
    row = Conversion.objects.get()
    assert (row.reason, row.order_id) == (Reason.INVALID, "")
    assert f"order_without_id order_id=pk:17 row={row.pk}" in caplog.text


def test_an_adapter_that_breaks_a_query_does_not_poison_the_order(
    configure: Any,
) -> None:
    def adapter(order: Order) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")

    configure(ORDER_ADAPTER=adapter)
    with transaction.atomic():
        order = place()
        order_completed.send(sender=Order, order=order)
        assert Order.objects.filter(pk=order.pk).exists()


class Broken(SessionStore):
    """Its table does not answer."""

    def load(self) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")


@pytest.mark.parametrize("asks", [False, True], ids=["plain", "with consent"])
def test_a_session_that_breaks_a_query_does_not_poison_the_order(
    configure: Any, rf: RequestFactory, click: Attribution, asks: bool
) -> None:
    configure(CONSENT=(lambda request: True) if asks else None)
    request = rf.get("/")
    request.session = Broken("x" * 32)
    with transaction.atomic():
        order = place()
        order_completed.send(sender=Order, order=order, request=request)
        assert Order.objects.filter(pk=order.pk).exists()
    assert not Conversion.objects.exclude(reason=Reason.NOT_ATTRIBUTED).exists()


@pytest.mark.skipif(
    connection.vendor == "mysql", reason="the row is written without post_save there"
)
@pytest.mark.parametrize("strict", [True, False])
def test_an_integrity_error_of_the_shops_own_is_logged_as_what_it_was(
    configure: Any, caplog: pytest.LogCaptureFixture, strict: bool
) -> None:
    configure(STRICT=strict)

    def listen(instance: Conversion, **_: Any) -> None:
        Order.objects.create(number=instance.order_id, total=1, currency="USD")

    post_save.connect(listen, sender=Conversion)
    try:
        with transaction.atomic():
            order = place()
            order_completed.send(sender=Order, order=order)
            assert Order.objects.filter(pk=order.pk).exists()
    finally:
        post_save.disconnect(listen, sender=Conversion)
    assert not Conversion.objects.exists()
    message = f"order_not_recorded order_id={order.number} error=IntegrityError"
    assert message in caplog.text


def test_an_adapter_that_fails_is_seen_under_strict(configure: Any) -> None:
    configure(ORDER_ADAPTER=lambda order: order.no_such_field, STRICT=True)
    with pytest.raises(AttributeError, match="no_such_field"):
        order_completed.send(sender=Order, order=place())


def test_a_setting_that_is_missing_is_named_in_the_log(
    configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(ORDER_ADAPTER=None)
    order_completed.send(sender=Order, order=place())
    assert "CONNECTLY_TRACKING['ORDER_ADAPTER'] is missing" in caplog.text


def test_without_an_adapter_the_developer_is_told(configure: Any) -> None:
    configure(ORDER_ADAPTER=None, STRICT=True)
    with pytest.raises(ImproperlyConfigured, match="ORDER_ADAPTER"):
        order_completed.send(sender=Order, order=place())


@pytest.mark.parametrize("strict", [True, False])
def test_a_database_that_refuses_our_row_costs_the_order_nothing(
    configure: Any, caplog: pytest.LogCaptureFixture, strict: bool
) -> None:
    configure(STRICT=strict)
    with transaction.atomic():
        order = place()
        with table_refused("connectly_tracking_conversion"):
            order_completed.send(sender=Order, order=order)
        assert Order.objects.filter(pk=order.pk).exists()
    assert f"order_not_recorded order_id={order.number} error=" in caplog.text


def test_settings_that_are_wrong_cost_the_order_nothing(
    configure: Any, caplog: pytest.LogCaptureFixture, click: Attribution
) -> None:
    configure(STRICT="yes", ATTRIBUTION_WINDOW="28")
    order_completed.send(sender=Order, purchase=make_purchase(), attribution=click)
    assert "order_not_recorded order_id=ORD-7821" in caplog.text


def test_an_order_saved_without_a_transaction_is_recorded(
    transactional_db: None,
) -> None:
    order = place()
    order_completed.send(sender=Order, order=order)
    assert Conversion.objects.get().order_id == order.number


BOMBS: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "a value of a million digits": lambda: {"value": 10**1_000_000},
    "a text of a million digits": lambda: {"value": "9" * 1_000_000},
    "an id of a million digits": lambda: {"order_id": 10**1_000_000},
    "a time of a million digits": lambda: {"event_time": 10**1_000_000},
    "three million lines": lambda: {"contents": range(3_000_000)},
    "lines without an end": lambda: {"contents": itertools.count()},
    "ids without an end": lambda: {"content_ids": itertools.count()},
    "a whole table": lambda: {"contents": Product.objects.all()},
    "a line of a million digits": lambda: {"contents": [{"id": 10**1_000_000}]},
    "a quantity of a million digits": lambda: {
        "contents": [Item(id="a", quantity=10**1_000_000, item_price=1)]
    },
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_too_much_is_refused_by_the_signal_at_once(
    name: str,
    click: Attribution,
    configure: Any,
    django_assert_max_num_queries: Any,
) -> None:
    configure(STRICT=False)
    Product.objects.bulk_create(
        Product(sku=f"sku-{number}", price=1) for number in range(200)
    )
    fields = {"order_id": "ORD-1", **BOMBS[name]()}
    purchase = make_purchase(fields.pop("order_id"), **fields)
    with cpu_time_below(0.3), django_assert_max_num_queries(8) as statements:
        order_completed.send(sender=Order, purchase=purchase, attribution=click)
    assert not any("shop_product" in it["sql"] for it in statements)
    row = Conversion.objects.get()
    # A line that cannot be read never costs the order; a value that cannot does.
    assert (row.state, row.reason) in {(State.PENDING, ""), (State.SKIPPED, "invalid")}
    assert 0 < len(row.detail) < 500
