"""From the click to the order: captures landings, and finds the click of an order.

The only user of ``request.session``. Capturing never raises and never changes the page:
the session is written first, then the row, and either may fail without the other.
"""

from __future__ import annotations

from .capture import (
    attach_user,
    capture,
    current_click,
    is_prefetch,
    land,
    land_from,
    recall,
)
from .clicks import (
    known_business,
    resolve_business,
    savepoint,
    store_click,
    why_not_credited,
)
from .consent import apply_consent, awaits_consent, consent_changed, forget
from .erasure import Erased, erase
from .late import bind_order, make_token
from .resolution import ClickSource, Resolution, resolve

__all__ = [
    "ClickSource",
    "Erased",
    "Resolution",
    "apply_consent",
    "attach_user",
    "awaits_consent",
    "bind_order",
    "capture",
    "consent_changed",
    "current_click",
    "erase",
    "forget",
    "is_prefetch",
    "known_business",
    "land",
    "land_from",
    "make_token",
    "recall",
    "resolve",
    "resolve_business",
    "savepoint",
    "store_click",
    "why_not_credited",
]
