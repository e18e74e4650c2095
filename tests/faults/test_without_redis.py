"""The table and the command alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .audit import audit

if TYPE_CHECKING:
    from .shop import Shop


pytestmark = pytest.mark.usefixtures("patient")


def test_f6_without_any_redis_the_command_alone_sends_everything(shop: Shop) -> None:
    shop.looper()
    customer = shop.customer(shop.web())
    customer.land()
    told = [customer.buy() for _ in range(10)] + shop.orders(30)
    shop.until_quiet()
    audit(shop, told)
