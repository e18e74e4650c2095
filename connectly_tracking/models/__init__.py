"""The table at which the two wings meet: what was captured, and what became of it."""

from __future__ import annotations

from .attempt import DeliveryAttempt
from .attribution import Attribution, AttributionQuerySet
from .binding import OrderAttribution
from .circuit import Circuit
from .clock import DbNow, moment
from .conversion import Conversion
from .states import EventName, Reason, State, key_of
from .transitions import ConversionQuerySet

__all__ = [
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
    "key_of",
    "moment",
]
