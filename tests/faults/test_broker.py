"""The broker is away, mute, full, locked or forgetful; the shop is none of these."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Final

import pytest

from connectly_tracking.models import Conversion, State
from example_project.demo.ports import LOOPBACK
from tests.tools.proxy import Proxy

from .audit import audit
from .process import until
from .timing import Added, warm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .customer import Customer
    from .redis_server import RedisServer
    from .shop import Shop

pytestmark = pytest.mark.usefixtures("patient")

OUTAGE: Final = 5.0  # seconds


@pytest.fixture
def plain(shop: Shop) -> Customer:
    """Of a shop that has no broker."""
    broker, shop.broker = shop.broker, None
    customer = shop.customer(shop.web())
    shop.broker = broker
    warm(customer)
    return customer


@pytest.fixture
def link(shop: Shop) -> Iterator[Proxy]:
    """The way to the shop's Redis, which may break."""
    with Proxy(shop.redis().url) as link:
        shop.broker = link.url
        yield link


def states() -> list[str]:
    return sorted(set(Conversion.objects.values_list("state", flat=True)))


@pytest.mark.parametrize(
    ("fault", "most"),
    [
        # Milliseconds; 5, 250 and 250 on a machine at rest.
        pytest.param("refuse", 100, id="f1-refuses"),
        pytest.param("mute", 350, id="f2-mute"),
        pytest.param("drop", 350, id="f2-drops-packets"),
    ],
)
def test_what_a_checkout_pays_for_a_broker_that(
    shop: Shop,
    link: Proxy,
    plain: Customer,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    most: float,
) -> None:
    webs = []

    def spoiled() -> Customer:
        link.behave("pass")
        webs.append(shop.web())
        customer = shop.customer(webs[-1])
        warm(customer)
        link.behave(fault)
        return customer

    added = Added.between(plain, spoiled, most=most)
    with capsys.disabled():
        sys.stdout.write(f"\nadded to a checkout: {added}\n")
    assert added.is_little(most), added
    assert [web.said().count("wakeup_failed") for web in webs] == [1] * len(webs)


def test_f1_orders_that_a_broker_refused_to_hear_of_are_sent_by_the_next_poll(
    shop: Shop, link: Proxy
) -> None:
    web = shop.web()
    customer = shop.customer(web)
    link.behave("refuse")
    customer.land()
    told = [customer.buy() for _ in range(10)]
    assert states() == [State.PENDING]

    link.behave("pass")
    shop.worker().ready()
    shop.beat()
    shop.until_quiet()
    audit(shop, told)


def test_f2_a_broker_that_was_always_mute_is_called_once(
    shop: Shop, link: Proxy
) -> None:
    link.behave("mute")
    customer = shop.customer(shop.web())
    customer.land()
    told = [customer.buy() for _ in range(20)]
    assert link.connections == 1

    shop.looper()
    shop.until_quiet()
    audit(shop, told)


def _fill(redis: RedisServer) -> None:
    redis.client.config_set("maxmemory-policy", "noeviction")
    redis.client.config_set("maxmemory", "1")


def _lock(redis: RedisServer) -> None:
    redis.client.config_set("requirepass", "of-another-shop")


def _demote(redis: RedisServer) -> None:
    """A replica of a server that is not there; nobody listens on port 1."""
    redis.client.replicaof(LOOPBACK, 1)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(_fill, "maxmemory", id="full"),
        pytest.param(_lock, "Authentication required", id="wants a password"),
        pytest.param(_demote, "read only replica", id="read-only replica"),
    ],
)
def test_f3_a_redis_that_takes_no_wakeup_leaves_the_order_to_the_next_poll(
    shop: Shop, spoil: Callable[[RedisServer], None], words: str
) -> None:
    redis = shop.redis()
    shop.broker = redis.url
    spoil(redis)
    web = shop.web()
    customer = shop.customer(web)
    customer.land()
    told = [customer.buy() for _ in range(5)]
    assert web.said().count("wakeup_failed") == 1
    assert words in web.said()
    assert states() == [State.PENDING]

    shop.looper()
    shop.until_quiet()
    audit(shop, told)


def test_f4_a_flushall_with_500_wakeups_queued_loses_no_order(shop: Shop) -> None:
    redis = shop.redis()
    shop.broker = redis.url
    worker = shop.worker().ready()
    worker.pause()
    told = shop.orders(500)
    assert redis.queued() > 490  # a few were on their way to the worker
    redis.client.flushall()
    assert redis.queued() == 0
    assert states() == [State.PENDING]

    shop.beat()
    worker.resume()
    shop.until_quiet()
    audit(shop, told)


def test_f5_workers_come_back_to_a_redis_that_was_killed(shop: Shop) -> None:
    redis = shop.redis()
    shop.broker = redis.url
    web, worker = shop.web(), shop.worker().ready()
    customer = shop.customer(web)
    customer.land()
    told = [customer.buy() for _ in range(10)]
    shop.until_quiet()
    # One with a message in hand dies of the loss (kombu 5.7): see the next test.
    until(lambda: not redis.queued() and not redis.client.hlen("unacked"))
    redis.kill()
    told += [customer.buy() for _ in range(10)]
    _wait_out()
    redis.start()
    told += [customer.buy() for _ in range(10)]
    shop.beat()
    shop.until_quiet()
    audit(shop, told)
    assert not worker.has_ended


def test_f5_a_redis_that_is_killed_under_load_loses_no_order(shop: Shop) -> None:
    redis = shop.redis()
    shop.broker = redis.url
    web, worker = shop.web(), shop.worker().ready()
    beat = shop.beat()
    customer = shop.customer(web)
    customer.land()
    told = [customer.buy() for _ in range(20)]
    redis.kill()
    told += [customer.buy() for _ in range(20)]
    _wait_out()
    redis.start()
    if "Unrecoverable error" in worker.said():  # started again, as shops have it
        shop.worker()
    told += [customer.buy() for _ in range(20)]
    shop.until_quiet()
    audit(shop, told)
    assert not beat.has_ended


def _wait_out() -> None:
    """For as long as the fault lasts."""
    threading.Event().wait(OUTAGE)
