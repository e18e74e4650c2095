"""The script that measures the package runs on this checkout."""

from __future__ import annotations

import pytest

from benchmarks import house


@pytest.mark.skipif(
    not (house.ROOT / house.PACKAGE).is_dir(), reason="needs a checkout, not a wheel"
)
def test_this_checkout_is_measured():
    found = house.measure(house.ROOT)
    landing, order = house.entered(house.ROOT)
    assert int(found["modules"]) > 100
    assert "/middleware.py:AttributionMiddleware.__call__" in landing
    assert "/receivers.py:on_order_completed" in order
