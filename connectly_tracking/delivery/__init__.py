"""Claim, send, settle: from a due row to its next state.

No transaction is open while a request is under way, and no thread but the caller's
touches the database. Knows no request and no session.
"""

from __future__ import annotations

from .run import Tally, deliver

__all__ = ["Tally", "deliver"]
