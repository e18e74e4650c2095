"""The admin: an operator's and a marketer's logbook."""

from __future__ import annotations

from .attributions import AttributionAdmin
from .circuits import CircuitAdmin
from .conversions import ConversionAdmin
from .orders import AttributionAdminMixin, ConversionInline

__all__ = [
    "AttributionAdmin",
    "AttributionAdminMixin",
    "CircuitAdmin",
    "ConversionAdmin",
    "ConversionInline",
]
