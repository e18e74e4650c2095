"""What became of the orders, and whether all is well."""

from __future__ import annotations

from .explanation import explain
from .health import health

__all__ = ["explain", "health"]
