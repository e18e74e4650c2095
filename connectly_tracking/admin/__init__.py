"""The admin for marketers, support and operators: read only, except for two actions."""

from __future__ import annotations

from .clicks import AttributionAdmin
from .conversions import ConversionAdmin
from .orders import AttributionAdminMixin, ConversionInline
from .pauses import PauseAdmin

__all__ = [
    "AttributionAdmin",
    "AttributionAdminMixin",
    "ConversionAdmin",
    "ConversionInline",
    "PauseAdmin",
]
