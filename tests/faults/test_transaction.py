"""If the order committed, the conversion exists; and the other way round."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests

from connectly_tracking.models import Attribution, Conversion, Reason, State
from example_project.shop.models import Order

from .audit import audit
from .database import inserts_refused, table_away
from .shop import MANAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .customer import Customer
    from .process import Process
    from .shop import Shop


pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture
def web(shop: Shop) -> Process:
    """Of a shop that has no broker, and polls."""
    shop.looper()
    return shop.web()


@pytest.fixture
def customer(shop: Shop, web: Process) -> Customer:
    """Has come from an ad."""
    customer = shop.customer(web)
    customer.land()
    return customer


@pytest.mark.parametrize("atomic_requests", [False, True])
def test_f7_an_order_that_rolls_back_leaves_no_row_and_no_request(
    shop: Shop, atomic_requests: bool
) -> None:
    shop.set(DATABASE={"ATOMIC_REQUESTS": atomic_requests})
    shop.looper()
    customer = shop.customer(shop.web())
    customer.land()
    for _ in range(5):
        assert customer.post("/checkouts/rolls-back/").status_code == 500
    assert not Order.objects.exists()
    told = [customer.buy()]  # so that somebody has polled after them
    shop.until_quiet()
    audit(shop, told)


def test_f7_an_order_that_rolls_back_to_a_savepoint_takes_its_row_along(
    shop: Shop, customer: Customer
) -> None:
    told = [customer.buy("/checkouts/rolls-back-to-a-savepoint/") for _ in range(5)]
    assert Order.objects.count() == len(told)
    shop.until_quiet()
    audit(shop, told)


def test_f7_an_order_whose_process_dies_before_the_commit_leaves_no_row(
    shop: Shop, customer: Customer
) -> None:
    with pytest.raises(requests.ConnectionError):
        customer.post("/checkouts/dies-before-its-commit/")
    told = shop.orders(1)
    shop.until_quiet()
    audit(shop, told)
    assert Order.objects.count() == 1


def test_f8_an_order_whose_process_dies_before_the_wakeup_is_sent(
    shop: Shop, customer: Customer
) -> None:
    with pytest.raises(requests.ConnectionError):
        customer.post("/checkouts/dies-after-its-commit/")
    assert Order.objects.count() == 1
    shop.until_quiet()
    audit(shop)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param({"CELERY_BROKER_URL": "nonsense://127.0.0.1"}, id="broker"),
        pytest.param({"CONNECTLY_TRACKING": {"QUEUE": 7}}, id="queue"),
    ],
)
def test_f9_a_wakeup_that_raises_is_seen_by_nobody(
    shop: Shop, spoil: dict[str, Any]
) -> None:
    shop.looper()
    shop.set(**{"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"} | spoil)
    web = shop.web()
    customer = shop.customer(web)
    customer.land()
    told = [customer.buy("/checkouts/has-hooks-of-its-own/")]
    assert "wakeup_failed" in web.said()
    lines = Order.objects.get().lines.values_list("sku", flat=True)
    assert list(lines) == ["tee", "before", "after"]
    shop.until_quiet()
    audit(shop, told)


@pytest.mark.parametrize("spoil", [inserts_refused, table_away])
def test_f10_a_refused_insert_of_ours_costs_neither_the_order_nor_its_id(
    shop: Shop, spoil: Callable[[str], AbstractContextManager[None]]
) -> None:
    web = shop.web()
    customer = shop.customer(web)
    customer.land()
    with spoil(Conversion._meta.db_table):
        told = [customer.buy() for _ in range(3)]
    assert Order.objects.count() == len(told)
    assert not Conversion.objects.exists()
    for number in told:
        assert f"order_not_recorded order_id={number}" in web.said()

    orders = "tests.faults.checkouts.placed_since"
    command = [*MANAGE, "connectly_backfill", orders, "--since", "2020-01-01"]
    shop.start("backfill", command).ended()
    # No session says there which click it was, and so they are not to be sent.
    assert set(Conversion.objects.values_list("state", "reason")) == {
        (State.SKIPPED, Reason.NOT_ATTRIBUTED)
    }
    audit(shop, told, unsent=told)


def test_f11_an_order_saved_without_a_transaction_is_recorded(
    shop: Shop, customer: Customer
) -> None:
    told = [customer.buy("/checkouts/has-no-transaction/") for _ in range(5)]
    shop.until_quiet()
    audit(shop, told)


def test_f36_two_processes_complete_the_same_order_at_once(
    shop: Shop, customer: Customer
) -> None:
    """The customer's page, which knows the click, and the payment's webhook."""
    webhook = shop.customer(shop.web())
    webhook.land("/product/tee/")
    told, barrier = [], threading.Barrier(2)

    def complete(who: Customer, line: str, number: str) -> str:
        barrier.wait(20)
        return who.buy("/checkouts/completes-again/", number=number, line=line)

    with ThreadPoolExecutor(2) as pool:
        for round_ in range(20):
            number = f"ORD-{round_}"
            Order.objects.create(number=number, total="49.99", currency="USD")
            both = [
                pool.submit(complete, customer, "page", number),
                pool.submit(complete, webhook, "webhook", number),
            ]
            assert [answer.result() for answer in both] == [number, number]
            told.append(number)
    assert Conversion.objects.count() == len(told)
    for order in Order.objects.all():
        lines = order.lines.values_list("sku", flat=True)
        assert sorted(lines) == ["page", "webhook"]
    shop.until_quiet()
    audit(shop, told)


@pytest.mark.postgres
def test_f41_a_click_pruned_before_the_order_is_sent_from_the_session(
    shop: Shop, customer: Customer
) -> None:
    Attribution.objects.all().delete()
    told = [customer.buy()]
    shop.until_quiet()
    audit(shop, told)


@pytest.mark.postgres
def test_f41_a_click_pruned_before_the_orders_commit_does_not_cost_the_order(
    shop: Shop, customer: Customer
) -> None:
    told = [customer.buy("/checkouts/loses-its-click/")]
    assert not Attribution.objects.exists()
    shop.until_quiet()
    audit(shop, told)


@pytest.mark.postgres
def test_f41_a_pruned_click_that_only_the_row_held_does_not_cost_the_order(
    shop: Shop, web: Process
) -> None:
    long = "&".join(
        f"{name}={'x' * 1000}" for name in ("cnct_tracking_id", "sendout_id", "ad_id")
    )
    customer = shop.customer(web)
    customer.land(f"/?{long}&ctwa_clid=x&attribution_source=meta_ctwa")
    Attribution.objects.all().delete()
    told = [customer.buy()]
    row = Conversion.objects.get()
    assert (row.state, row.reason) == (State.SKIPPED, Reason.NOT_ATTRIBUTED)
    shop.until_quiet()
    audit(shop, told, unsent=told)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"transaction_mode": "IMMEDIATE"}, id="immediate"),
        pytest.param({}, id="the check unheeded"),
    ],
)
def test_f42_on_sqlite_shops_and_deliverers_do_not_lock_each_other_out(
    shop: Shop, options: dict[str, str]
) -> None:
    shop.set(DATABASE={"OPTIONS": options})
    webs = [shop.web(), shop.web()]
    loopers = [shop.looper(interval=0.05) for _ in range(8)]
    customers = [shop.customer(web) for web in webs * 2]

    def buy(customer: Customer) -> list[str]:
        customer.land()
        return [customer.buy("/checkouts/signals-first/") for _ in range(50)]

    with ThreadPoolExecutor(len(customers)) as pool:
        told = [number for bought in pool.map(buy, customers) for number in bought]
    assert len(told) == 200
    shop.until_quiet()
    for process in (*webs, *loopers):
        assert "database is locked\n" not in process.said()
        assert "OperationalError" not in process.said()
    audit(shop, told)
