"""What became of the orders."""

from __future__ import annotations

from .explanation import explain

__all__ = ["explain"]
