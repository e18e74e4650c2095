"""The table at which the two wings meet: what was captured, and what became of it."""

from __future__ import annotations

from .age import OVERDUE, is_overdue, oldest_sent
from .attempt import DeliveryAttempt
from .attribution import MAX_PAGE, Attribution, AttributionQuerySet
from .binding import OrderAttribution
from .circuit import Circuit
from .clock import DbNow, local_time, moment
from .conversion import Conversion
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
]
