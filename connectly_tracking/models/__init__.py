"""The tables in which the shop and the workers meet: clicks, conversions, attempts."""

from __future__ import annotations

from .attribution import MAX_PAGE, Attribution, AttributionQuerySet, OrderAttribution
from .clock import (
    OVERDUE,
    DbNow,
    is_overdue,
    local_time,
    moment,
    oldest_sent,
    repeated_time,
)
from .conversion import Conversion
from .delivery import Circuit, DeliveryAttempt
from .states import EventName, Reason, State, key_of
from .transitions import ConversionQuerySet

__all__ = [
    "MAX_PAGE",
    "OVERDUE",
    "Attribution",
    "AttributionQuerySet",
    "Circuit",
    "Conversion",
    "ConversionQuerySet",
    "DbNow",
    "DeliveryAttempt",
    "EventName",
    "OrderAttribution",
    "Reason",
    "State",
    "is_overdue",
    "key_of",
    "local_time",
    "moment",
    "oldest_sent",
    "repeated_time",
]
