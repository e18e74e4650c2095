"""However many orders there are, few are held at once."""

from __future__ import annotations

import io
import tracemalloc
from typing import TYPE_CHECKING

from connectly_tracking.backfill import Table, backfill

from .conftest import make_purchase
from .test_backfill_table import order, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectly_tracking.events import Purchase


def test_five_thousand_orders_take_no_more_memory_than_a_page(db: None) -> None:
    def orders() -> Iterator[Purchase]:
        for number in range(5000):
            if number == 3000:  # it slows all down, and what is kept shows by then
                tracemalloc.start()
            yield make_purchase(f"ORD-{number}")

    try:
        assert backfill(orders()).skipped == {"not_attributed": 5000}
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_500_000, peak


class Endless(io.RawIOBase):
    """A file of so many orders, made as it is read, and measured from half of it."""

    def __init__(self, count: int) -> None:
        self.lines = self._lines(count)
        self.peak = 0

    def readable(self) -> bool:
        return True

    def readline(self, size: int | None = -1) -> bytes:
        return next(self.lines, b"")

    def _lines(self, count: int) -> Iterator[bytes]:
        yield b"order_id,value,currency,event_time\n"
        for number in range(count):
            if number == count // 2:
                tracemalloc.start()
            yield b"A-%d,1,USD,1790000000\n" % number
        _now, self.peak = tracemalloc.get_traced_memory()


def test_twenty_thousand_lines_take_no_more_memory_than_a_page(db: None) -> None:
    backfill(table_of(order("A-1")))
    file = Endless(20_000)
    try:
        # Most are left out, since it is the reading that is looked at here.
        counts = backfill(Table(file), skip=17_000)  # type: ignore[arg-type]
    finally:
        tracemalloc.stop()
    assert counts.total == 3000
    assert file.peak < 2_500_000, file.peak
