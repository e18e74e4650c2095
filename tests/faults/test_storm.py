"""Workers that are killed again and again: the short form of ``tests.faults``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .audit import audit
from .storm import storm

if TYPE_CHECKING:
    from pathlib import Path

    from .shop import Shop


def test_f16_random_kills_lose_no_order(
    shop: Shop, broker: str, tmp_path: Path
) -> None:
    after = storm(shop, tmp_path, seed=1, orders=300, seconds=15)
    audit(shop, after.told, in_flight=after.in_flight)
    assert after.orders == len(after.told) == 300
    assert (after.lost, after.altered) == (0, 0)
    assert after.killed + after.cut + after.late == after.repeated
    assert after.unexplained == []
    assert after.in_flight > 0  # somebody was killed at work
