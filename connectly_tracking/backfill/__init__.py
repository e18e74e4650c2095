"""Records orders that were never recorded, as their own signal would have.

``run`` takes the orders, from the shop or from a ``csvfile``, one by one to their rows.
``order`` is one of them.
"""

from __future__ import annotations

from .csvfile import CsvFile, InvalidFile
from .run import Counts, Interrupted, backfill

__all__ = ["Counts", "CsvFile", "Interrupted", "InvalidFile", "backfill"]
