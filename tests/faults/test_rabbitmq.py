"""RabbitMQ instead of Redis; ``CI_AMQP_URL`` names the server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from connectly_tracking.models import Conversion, State
from tests.tools.proxy import Proxy

from .audit import audit
from .brokers import rabbitmq

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .shop import Shop

URL = os.environ["CI_AMQP_URL"]

pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture(autouse=True)
def _broker(shop: Shop) -> Iterator[None]:
    with rabbitmq(shop):
        yield


def test_f38_an_order_wakes_a_worker(shop: Shop) -> None:
    web = shop.web()
    shop.worker().ready()
    customer = shop.customer(web)
    customer.land()
    told = [customer.buy() for _ in range(10)]
    shop.until_quiet()
    audit(shop, told)


@pytest.mark.parametrize("fault", ["refuse", "mute", "drop"])
def test_f38_orders_that_a_broker_did_not_hear_of_are_sent_by_the_next_poll(
    shop: Shop, fault: str
) -> None:
    with Proxy(URL) as link:
        shop.broker = link.url
        web = shop.web()
        link.behave(fault)
        customer = shop.customer(web)
        customer.land()
        told = [customer.buy() for _ in range(10)]
        assert web.said().count("wakeup_failed") == 1
    rows = Conversion.objects.values_list("state", flat=True)
    assert set(rows) == {State.PENDING}

    shop.broker = URL
    shop.worker().ready()
    shop.beat()
    shop.until_quiet()
    audit(shop, told)
