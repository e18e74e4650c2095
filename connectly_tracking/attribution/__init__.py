"""From the click to the order: keeps landings, finds the one that an order owes.

The only user of ``request.session``. Capturing never raises and never changes the page:
session first, then the row, and either may fail without the other noticing.
"""

from __future__ import annotations

from .binding import bind_order
from .business import business_of, known_business
from .capture import (
    attach,
    capture,
    click_of,
    is_prefetch,
    land,
    land_from,
    recall,
)
from .consent import consent_changed, forget, is_awaited, settle
from .credit import fault_of
from .erasure import Erased, erase
from .resolution import Clue, Resolution, resolve
from .rows import savepoint, store
from .token import make_token

__all__ = [
    "Clue",
    "Erased",
    "Resolution",
    "attach",
    "bind_order",
    "business_of",
    "capture",
    "click_of",
    "consent_changed",
    "erase",
    "fault_of",
    "forget",
    "is_awaited",
    "is_prefetch",
    "known_business",
    "land",
    "land_from",
    "make_token",
    "recall",
    "resolve",
    "savepoint",
    "settle",
    "store",
]
