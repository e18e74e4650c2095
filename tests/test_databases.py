"""Orders in one database and our rows in another, or in the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.utils.functional import SimpleLazyObject

from connectly_tracking import attribution
from connectly_tracking.backfill import backfill
from connectly_tracking.events import ViewContent
from connectly_tracking.models import (
    Attribution,
    Conversion,
    OrderAttribution,
    State,
)
from connectly_tracking.outbox import cancel, record
from connectly_tracking.outbox.databases import database_for
from connectly_tracking.signals import order_completed
from example_project.shop.models import Order, OrderLine, Product
from example_project.shop.tracking import purchase

from .conftest import TAGGED, make_click, make_purchase, table_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from django.test import Client

pytestmark = pytest.mark.django_db


class Router:
    """Sends each app to the database that is named for it."""

    def __init__(self, **places: str) -> None:
        self.places = places

    def db_for_write(self, model: Any, **_: Any) -> str | None:
        return self.places.get(model._meta.app_label)


class Replica(Router):
    """Reads everything from a replica."""

    def db_for_read(self, model: Any, **_: Any) -> str:
        return "orders"

    def db_for_write(self, model: Any, **_: Any) -> str:
        return "default"


@pytest.fixture
def orders(tmp_path: Path) -> Iterator[str]:
    """A second database, with the tables of the shop but none of ours."""
    alias = "orders"
    connections.databases[alias] = {
        **connections.databases["default"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "orders"),
        "HOST": "",
        "PORT": "",
        "OPTIONS": {},
    }
    try:
        connections[alias].connect()  # before Django's test case can forbid it
        with connections[alias].schema_editor() as editor:
            for model in (Product, Order, OrderLine):
                editor.create_model(model)
        yield alias
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.databases[alias]


def place(using: str = "default") -> Order:
    order: Order = Order.objects.using(using).create(
        number=f"ORD-{using}", total=12, currency="USD"
    )
    return order


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [it for it in caplog.messages if it.startswith("order_in_other_database")]


def test_an_order_in_another_database_is_recorded_and_one_log_line(
    orders: str, click: Attribution, caplog: pytest.LogCaptureFixture
) -> None:
    order_completed.send(sender=Order, order=place(orders), attribution=click)
    assert Conversion.objects.get().state == State.PENDING
    (line,) = lines(caplog)
    assert "order_id=ORD-orders order_database=orders conversions=default" in line
    assert "DATABASE_ROUTERS" in line


def test_under_strict_it_is_an_error_that_says_what_to_do(
    orders: str, click: Attribution, configure: Any
) -> None:
    configure(STRICT=True)
    with pytest.raises(ImproperlyConfigured) as caught:
        order_completed.send(sender=Order, order=place(orders), attribution=click)
    assert str(caught.value) == (
        "Order ORD-orders is in the database 'orders' and its conversion in 'default', "
        "so that one may be committed without the other. In DATABASE_ROUTERS, route "
        "the app connectly_tracking to the database of the orders (docs/developer/"
        "databases.md)."
    )
    assert not Conversion.objects.exists()


@pytest.mark.parametrize(
    ("made", "is_told"),
    [
        (place, True),
        (lambda using: SimpleLazyObject(lambda: place(using)), True),
        (lambda using: place(using) and Order.objects.using(using).first(), True),
        (lambda _using: place(), False),
        # Not saved yet: nobody knows where it will be.
        (lambda _using: Order(number="ORD-1", total=12, currency="USD"), False),
        (lambda _using: SimpleNamespace(number="ORD-1"), False),
        (lambda _using: {"number": "ORD-1"}, False),
    ],
)
def test_only_a_saved_order_tells_where_it_is(
    orders: str,
    configure: Any,
    caplog: pytest.LogCaptureFixture,
    made: Callable[[str], Any],
    is_told: bool,
) -> None:
    configure(ORDER_ADAPTER=lambda order: make_purchase())
    order_completed.send(sender=Order, order=made(orders))
    assert Conversion.objects.count() == 1
    assert len(lines(caplog)) == is_told


def test_a_purchase_tells_nothing(
    orders: str, click: Attribution, caplog: pytest.LogCaptureFixture
) -> None:
    bought = purchase(place(orders))
    order_completed.send(sender=Order, purchase=bought, attribution=click)
    assert Conversion.objects.get().state == State.PENDING
    assert not lines(caplog)


def test_a_router_may_say_where_orders_are(
    orders: str, settings: Any, configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(STRICT=True)
    order = place(orders)
    order.lines.create(sku="mug", name="Mug", price=12, quantity=1)
    settings.DATABASE_ROUTERS = [Router(shop="orders")]
    with pytest.raises(ImproperlyConfigured):
        order_completed.send(sender=Order, order=order)
    # As read from a replica: it is written where our row is.
    settings.DATABASE_ROUTERS = [Replica()]
    order_completed.send(sender=Order, order=order)
    assert Conversion.objects.using("default").count() == 1


def test_using_must_be_where_the_workers_look(
    orders: str, click: Attribution, configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    record(make_purchase(), attribution=click, using=orders)
    assert Conversion.objects.get().state == State.PENDING
    cancel("ORD-7821", using=orders)
    assert Conversion.objects.get().state == State.SKIPPED
    record(ViewContent(content_ids=["mug"]), attribution=click, using=orders)
    assert Conversion.objects.count() == 2
    backfill([make_purchase("2")], using=orders)
    assert Conversion.objects.count() == 3
    ignored = "using_ignored using=orders conversions=default"
    assert [line.startswith(ignored) for line in caplog.messages] == [True] * 4
    configure(STRICT=True)
    with pytest.raises(ImproperlyConfigured, match="or leave out using"):
        record(make_purchase(), using=orders)
    with pytest.raises(ImproperlyConfigured, match="or leave out using"):
        cancel("ORD-7821", using=orders)


def test_using_may_be_another_alias_of_one_database(
    settings: Any, configure: Any
) -> None:
    configure(STRICT=True)
    connections.databases["direct"] = dict(connections.databases["default"])
    settings.DATABASE_ROUTERS = [Router(connectly_tracking="direct")]
    try:
        assert database_for("default") == "default"
        assert database_for(None) == "direct"
    finally:
        del connections["direct"]
        del connections.databases["direct"]


@pytest.fixture
def direct(tmp_path: Path) -> Iterator[str]:
    """Another alias of a database with all tables; the router never answers it."""
    file = {
        **connections.databases["default"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "orders"),
        "HOST": "",
        "PORT": "",
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
    }
    aliases = ("pooled", "direct")
    try:
        for alias in aliases:
            connections.databases[alias] = dict(file)
            connections[alias].connect()
        with connections["direct"].schema_editor() as editor:
            for model in (Order, Conversion, Attribution, OrderAttribution):
                editor.create_model(model)
        yield "direct"
    finally:
        for alias in aliases:
            connections[alias].close()
            del connections[alias]
            del connections.databases[alias]


@pytest.mark.parametrize("is_read", [False, True])
def test_an_order_that_was_saved_by_the_alias_in_using_commits_with_its_row(
    direct: str,
    settings: Any,
    configure: Any,
    caplog: pytest.LogCaptureFixture,
    is_read: bool,
) -> None:
    configure(STRICT=True, ORDER_ADAPTER=lambda order: make_purchase(order.number))
    settings.DATABASE_ROUTERS = [Router(connectly_tracking="pooled", shop="pooled")]
    with transaction.atomic(using=direct):
        order = place(direct)
        if is_read:
            order = Order.objects.using(direct).get()
        order_completed.send(sender=Order, order=order, using=direct)
        assert Conversion.objects.using(direct).count() == 1
        transaction.set_rollback(True, using=direct)
    assert not Conversion.objects.using("pooled").exists()
    assert not caplog.messages
    # Over another connection they may not commit together.
    with pytest.raises(ImproperlyConfigured, match="'pooled' and its conversion in"):
        order_completed.send(sender=Order, order=place("pooled"), using=direct)


def test_both_in_the_other_database_commit_and_roll_back_together(
    orders: str, settings: Any, configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(STRICT=True)
    settings.DATABASE_ROUTERS = [Router(connectly_tracking="orders", shop="orders")]
    with connections[orders].schema_editor() as editor:
        for model in (Conversion, Attribution, OrderAttribution):
            editor.create_model(model)
    for using in (None, "orders"):
        with transaction.atomic(using=orders):
            order_completed.send(sender=Order, order=place(orders), using=using)
            assert Conversion.objects.using(orders).count() == 1
            transaction.set_rollback(True, using=orders)
        assert not Conversion.objects.using(orders).exists()
        assert not Order.objects.using(orders).exists()
    assert not caplog.messages


def test_a_user_of_another_database_can_be_deleted(
    orders: str, settings: Any, admin_client: Client
) -> None:
    user = User.objects.create(username="ana")
    with connections[orders].schema_editor() as editor:
        for model in (Conversion, Attribution, OrderAttribution):
            editor.create_model(model)
    here, there = make_click(user=user), make_click()
    Attribution.objects.using(orders).bulk_create([there])
    there.user_id = user.pk
    there.save(using=orders)
    settings.DATABASE_ROUTERS = [Router(connectly_tracking="orders", auth="default")]
    page = admin_client.get("/admin/connectly_tracking/attribution/")
    assert "ana" in page.content.decode()
    with table_refused("connectly_tracking_attribution"):
        user.delete()
    settings.DATABASE_ROUTERS = []
    for click, using in ((here, "default"), (there, orders)):
        assert Attribution.objects.using(using).filter(pk=click.pk).exists()


def test_a_binding_and_a_backfill_need_no_common_transaction(
    orders: str, configure: Any, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    configure(STRICT=True)
    order = place(orders)
    request = client.get(TAGGED).wsgi_request
    assert attribution.bind_order(request, order.number)
    counts = backfill(Order.objects.using(orders))
    assert (counts.pending, counts.failed) == (1, 0)
    assert Conversion.objects.get().order_id == order.number
    assert not lines(caplog)


# The system check, which sees no order.


def shop_order(order: Order) -> Any:
    """Annotated with a model."""


def unnamed(order: Any) -> Any:
    """In a module of no app, for any kind of order."""


def sale(sale: OrderLine | None) -> Any:
    """Its orders are not called so."""


@pytest.mark.parametrize(
    ("places", "adapter", "is_wrong"),
    [
        ({}, purchase, False),
        ({"shop": "orders"}, purchase, True),
        ({"connectly_tracking": "orders"}, purchase, True),
        ({"connectly_tracking": "orders", "shop": "orders"}, purchase, False),
        # Where other apps are does not matter.
        ({"auth": "orders", "sessions": "orders"}, purchase, False),
        ({"shop": "orders"}, shop_order, True),
        ({"shop": "orders"}, unnamed, True),
        ({"shop": "orders"}, sale, True),
        ({"shop": "orders"}, print, True),
        ({"shop": "orders"}, None, True),
        ({"shop": "orders"}, "no.such.adapter", True),
    ],
)
def test_the_check_knows_the_wrong_layout_from_the_right_one(
    settings: Any, configure: Any, places: dict[str, str], adapter: Any, is_wrong: bool
) -> None:
    configure(ORDER_ADAPTER=adapter)
    settings.DATABASE_ROUTERS = [Router(**places)]
    found = [it for it in run_checks() if it.id == "connectly_tracking.W005"]
    assert len(found) == is_wrong
    if is_wrong:
        assert "shop.Order" in found[0].msg
        assert "connectly_tracking" in (found[0].hint or "")


class Split:
    """Sends some of our models away."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def db_for_write(self, model: Any, **_: Any) -> str | None:
        return "orders" if model.__name__ in self.names else None


@pytest.mark.parametrize(
    "names", [["Attribution"], ["OrderAttribution", "Attribution"], ["DeliveryAttempt"]]
)
def test_our_tables_are_in_one_database(settings: Any, names: list[str]) -> None:
    settings.DATABASE_ROUTERS = [Split(*names)]
    (found,) = (it for it in run_checks() if it.id == "connectly_tracking.E033")
    assert f"{names[0]}: 'orders'" in found.msg
    assert "Conversion: 'default'" in found.msg


@pytest.fixture
def _other_name() -> Iterator[None]:
    Order.__name__ = "Bestellung"
    yield
    Order.__name__ = "Order"


@pytest.mark.usefixtures("_other_name")
def test_without_a_model_of_orders_the_check_says_nothing(
    settings: Any, configure: Any
) -> None:
    settings.DATABASE_ROUTERS = [Router(connectly_tracking="elsewhere")]
    configure(ORDER_ADAPTER=unnamed)
    assert "connectly_tracking.W005" not in {it.id for it in run_checks()}
    # An adapter in the orders' own app tells.
    configure(ORDER_ADAPTER=purchase)
    assert "connectly_tracking.W005" in {it.id for it in run_checks()}
