"""Claim, send, settle: from a due row to its next state.

No transaction is open during a request, and only the calling thread uses the database.
Imports nothing that needs a web request or a session.
"""

from __future__ import annotations

from .run import make_client, reset_memory
from .settle import Tally
from .worker import deliver

__all__ = ["Tally", "deliver", "make_client", "reset_memory"]
