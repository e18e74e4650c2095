"""If the order committed, the conversion exists.

Nothing here waits for the network or for a broker, and nothing outside one savepoint
can harm the order's transaction. ``draft`` makes a row of an order, ``record`` writes
it, ``cancel`` stops it, ``replay`` has it sent again; ``view`` records content views.
"""

from __future__ import annotations

from .cancel import cancel
from .draft import Source
from .record import record, record_made
from .replay import replay
from .view import record_view

__all__ = ["Source", "cancel", "record", "record_made", "record_view", "replay"]
