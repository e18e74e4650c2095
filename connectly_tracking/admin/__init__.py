"""The admin for marketers, support and operators.

Read only, but for the names of campaigns and what a page asks to confirm.
"""

from __future__ import annotations

from .campaigns import CampaignAdmin, CampaignNameAdmin
from .clicks import AttributionAdmin
from .conversions import ConversionAdmin
from .orders import AttributionAdminMixin, ConversionInline
from .pauses import PauseAdmin

__all__ = [
    "AttributionAdmin",
    "AttributionAdminMixin",
    "CampaignAdmin",
    "CampaignNameAdmin",
    "ConversionAdmin",
    "ConversionInline",
    "PauseAdmin",
]
