"""If the order committed, the conversion exists.

Nothing here waits for the network or a broker, and an error cannot harm the order's
transaction: all statements are in one savepoint.
"""

from __future__ import annotations

from .corrections import cancel, cancel_rows, pause, replay, resume
from .draft import PaidOrder
from .record import record, record_order
from .view import record_view

__all__ = [
    "PaidOrder",
    "cancel",
    "cancel_rows",
    "pause",
    "record",
    "record_order",
    "record_view",
    "replay",
    "resume",
]
