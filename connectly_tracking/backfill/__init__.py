"""Records orders that were never recorded, as their own signal would have.

``run`` takes the orders, from the shop or from a ``csvfile``, one by one to their rows.
``order`` is one of them; ``counts`` are the outcomes.
"""

from __future__ import annotations

from .counts import Counts, Interrupted
from .csvfile import CsvFile, InvalidFile
from .run import backfill

__all__ = ["Counts", "CsvFile", "Interrupted", "InvalidFile", "backfill"]
