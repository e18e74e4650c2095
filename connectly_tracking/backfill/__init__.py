"""Records the orders that were never recorded, as their own signal would have.

``run`` takes the orders, which come from the shop or, line by line, from a CSV file:
``table`` reads it, ``line`` is one of its orders. ``entry`` is an order on its way to
its row, ``known`` finds those that have one, ``counts`` says what came of them, and
``pace`` keeps them from coming too fast.
"""

from __future__ import annotations

from .counts import Counts, Interrupted
from .run import backfill
from .table import Table, TableFault

__all__ = ["Counts", "Interrupted", "Table", "TableFault", "backfill"]
