"""Machines whose clocks differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from . import ahead
from .audit import audit
from .process import PATIENCE

if TYPE_CHECKING:
    from .shop import Shop

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("patient")]


def test_a_worker_whose_clock_is_an_hour_ahead_heeds_a_wakeup(shop: Shop) -> None:
    """Nobody polls here, so that nothing but the message brings the order there."""
    shop.broker = shop.redis().url
    ahead.install(shop)
    worker = shop.worker().ready()
    told = shop.orders(3)
    shop.sandbox.wait_for(lambda it: it.event_count == len(told), timeout=PATIENCE)
    assert "expired" not in worker.said()
    shop.until_quiet()
    audit(shop, told)
