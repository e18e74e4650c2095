"""The tables in which the shop and the workers meet: clicks, conversions, attempts."""

from __future__ import annotations

from .alert import Alert
from .attempt import DeliveryAttempt, can_write_at_once, write_confirmed
from .attribution import (
    MAX_PAGE,
    MAX_REFUSED,
    Attribution,
    AttributionQuerySet,
    OrderAttribution,
)
from .campaign import UPSTREAM, Campaign, CampaignName
from .clock import (
    OVERDUE,
    PAYLOAD_KEPT_FOR,
    DbNow,
    age_field,
    ago,
    greatest_age,
    is_overdue,
    local_time,
    moment,
    zoned_text,
)
from .conversion import Conversion
from .expressions import IsText, insert_row, row_of
from .pause import Circuit, OfCircuit, Pause
from .states import (
    AWAITING_CLICK,
    WAITING,
    ConversionQuerySet,
    EventName,
    Reason,
    State,
    key_of,
    read_committed,
)

__all__ = [
    "AWAITING_CLICK",
    "MAX_PAGE",
    "MAX_REFUSED",
    "OVERDUE",
    "PAYLOAD_KEPT_FOR",
    "UPSTREAM",
    "WAITING",
    "Alert",
    "Attribution",
    "AttributionQuerySet",
    "Campaign",
    "CampaignName",
    "Circuit",
    "Conversion",
    "ConversionQuerySet",
    "DbNow",
    "DeliveryAttempt",
    "EventName",
    "IsText",
    "OfCircuit",
    "OrderAttribution",
    "Pause",
    "Reason",
    "State",
    "age_field",
    "ago",
    "can_write_at_once",
    "greatest_age",
    "insert_row",
    "is_overdue",
    "key_of",
    "local_time",
    "moment",
    "read_committed",
    "row_of",
    "write_confirmed",
    "zoned_text",
]
