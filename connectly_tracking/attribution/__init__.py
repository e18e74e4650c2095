"""From the click to the order: keeps landings, finds the one that an order owes.

The only user of ``request.session``. Capturing never raises and never changes the page:
session first, then the row, and either may fail without the other noticing.
"""

from __future__ import annotations

from .capture import attach, business_of, capture, land, recall, store
from .resolution import Resolution, is_at_hand, resolve

__all__ = [
    "Resolution",
    "attach",
    "business_of",
    "capture",
    "is_at_hand",
    "land",
    "recall",
    "resolve",
    "store",
]
