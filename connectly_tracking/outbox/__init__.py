"""If the order committed, the conversion exists.

Nothing here waits for the network or for a broker, and nothing outside one savepoint
can harm the order's transaction. ``draft`` makes a row of an order, ``record`` writes
it, ``cancel`` stops it, ``replay`` has it sent again.
"""

from __future__ import annotations

from .cancel import cancel
from .draft import Source
from .record import record, record_made
from .replay import replay

__all__ = ["Source", "cancel", "record", "record_made", "replay"]
