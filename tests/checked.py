"""An order as a shop reports it, and what becomes of it when it is checked."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from connectly_tracking.api.payload import PurchasePayload
from connectly_tracking.events import Purchase
from connectly_tracking.exceptions import InvalidEvent

NOW = datetime(2025, 5, 6, 12, tzinfo=UTC)
SECONDS = 1746480000
BERLIN = ZoneInfo("Europe/Berlin")
UUID_ID = UUID("5f0c6f0e-2f3c-4b5e-9a53-0d5b1c9f8a11")
ORDER: dict[str, Any] = {
    "order_id": "ORD-7821",
    "value": Decimal("99.97"),
    "currency": "USD",
    "event_time": SECONDS,
}


class Word(str, Enum):  # noqa: UP042 - whose str() is not its value
    ORDER = "ORD-1"


class Model:
    _meta = "as Django's models have it"
    id = 5


def check(**fields: Any) -> PurchasePayload:
    return PurchasePayload.from_purchase(
        Purchase(**ORDER | fields), now=NOW, zone=BERLIN
    )


def problem_with(**fields: Any) -> str:
    with pytest.raises(InvalidEvent) as caught:
        check(**fields)
    assert str(caught.value) == f"{caught.value.field}: {caught.value.problem}"
    return str(caught.value)


def notes_on(**fields: Any) -> str:
    """What is noted about an order that is sent all the same."""
    payload = check(**fields)
    assert payload.order_id == "ORD-7821"
    assert all(note.isprintable() and note.endswith(".") for note in payload.notes)
    return " ".join(payload.notes)


def named(value: object) -> str:
    """As repr() but without an address, which each process has its own of."""
    try:
        return re.sub(" at 0x[0-9a-f]+", "", repr(value))
    except ZeroDivisionError:
        return "raises"


def item(**fields: Any) -> dict[str, Any]:
    return {"id": "sku", **fields}
