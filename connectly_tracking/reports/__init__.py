"""What became of the orders, one by one and added up, and whether all is well."""

from __future__ import annotations

from .campaigns import campaigns
from .explanation import explain
from .health import health

__all__ = ["campaigns", "explain", "health"]
