"""However many orders there are, few are held at once."""

from __future__ import annotations

import gc
import io
import tracemalloc
from typing import TYPE_CHECKING, Final

import pytest
from django.db.models.sql import compiler

from connectly_tracking.backfill import CsvFile, backfill
from connectly_tracking.backfill.order import CHUNK

from .conftest import make_purchase
from .test_backfill_table import order, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectly_tracking.events import Purchase

#: Imports and caches are over with the first chunk. At the end of the second and of the
#: third one as much is held, or else what is held grows with the orders.
COUNT: Final = 3 * CHUNK
TOLERANCE: Final = CHUNK * 100  # bytes; a line of a file takes more, an order far more

#: Django's compiler makes the names that it looks up anew each time, and CPython's
#: cache of methods keeps some thousands of them.
NAMES: Final = tracemalloc.Filter(inclusive=False, filename_pattern=compiler.__file__)


class Growth:
    """How much more memory is held after the third chunk than after the second."""

    def __init__(self) -> None:
        self._held: dict[int, int] = {}

    def at(self, number: int) -> None:
        if number == CHUNK:
            tracemalloc.start()
        elif number and number % CHUNK == 0:
            gc.collect()
            found = tracemalloc.take_snapshot().filter_traces([NAMES])
            sizes = (it.size for it in found.statistics("filename"))
            self._held[number // CHUNK] = sum(sizes)

    @property
    def bytes(self) -> int:
        return self._held[3] - self._held[2]


@pytest.fixture
def growth(db: None) -> Iterator[Growth]:
    yield Growth()
    tracemalloc.stop()


def test_of_many_orders_no_more_is_held_than_of_a_chunk(growth: Growth) -> None:
    def orders() -> Iterator[Purchase]:
        for number in range(COUNT):
            growth.at(number)
            yield make_purchase(f"ORD-{number}")
        growth.at(COUNT)

    assert backfill(orders()).skipped == {"not_attributed": COUNT}
    assert growth.bytes < TOLERANCE


class Endless(io.RawIOBase):
    """A file of so many orders, made as it is read."""

    def __init__(self, growth: Growth) -> None:
        self.lines = self._lines(growth)

    def readable(self) -> bool:
        return True

    def readline(self, size: int | None = -1) -> bytes:
        return next(self.lines, b"")

    def _lines(self, growth: Growth) -> Iterator[bytes]:
        yield b"order_id,value,currency,event_time\n"
        for number in range(COUNT):
            growth.at(number)
            yield b"A-%0100d,1,USD,1790000000\n" % number
        growth.at(COUNT)


def test_of_many_lines_no_more_is_held_than_of_a_chunk(growth: Growth) -> None:
    backfill(table_of(order("A-1")))
    counts = backfill(CsvFile(Endless(growth)))  # type: ignore[arg-type]
    assert counts.total == COUNT
    assert growth.bytes < TOLERANCE
