"""From the click to the order: captures landings, and finds the click of an order.

The only user of ``request.session``. Capturing never raises and never changes the page:
the session is written first, then the row, and either may fail without the other. The
click's own cookie leads to the row if the session has ended.
"""

from __future__ import annotations

from .binding import abind_order, amake_token, bind_order, make_token
from .capture import (
    acapture,
    arecall,
    attach_user,
    capture,
    is_prefetch,
    land,
    land_from,
    recall,
)
from .consent import consent_changed, forget
from .cookie import set_cookie
from .privacy import Erased, erase, export
from .resolution import ClickSource

__all__ = [
    "ClickSource",
    "Erased",
    "abind_order",
    "acapture",
    "amake_token",
    "arecall",
    "attach_user",
    "bind_order",
    "capture",
    "consent_changed",
    "erase",
    "export",
    "forget",
    "is_prefetch",
    "land",
    "land_from",
    "make_token",
    "recall",
    "set_cookie",
]
