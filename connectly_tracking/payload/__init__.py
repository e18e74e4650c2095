"""An event after inspection: every value checked, nothing left to doubt."""

from __future__ import annotations

from .lines import Line
from .purchase import Payload
from .values import legible, order_id, text_of, unix_time
from .view import View

__all__ = ["Line", "Payload", "View", "legible", "order_id", "text_of", "unix_time"]
