"""Finds an order's conversion, and the request that Connectly received."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from connectly_tracking.models import Conversion

from .browser import Browser
from .supervisor import LateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .supervisor import Supervisor

PATIENCE = 60.0  # seconds until the conversion must be final


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request that the sandbox received, and its answer; both bodies verbatim."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str
    status: int | None
    answer: str

    @classmethod
    def from_received(cls, received: Mapping[str, Any]) -> Exchange:
        return cls(**{name: received[name] for name in cls.__slots__})


def conversion(supervisor: Supervisor, order_id: str) -> Conversion:
    """The order's row once it is final, or as it is after a minute."""
    rows = Conversion.objects.filter(order_id=order_id)
    try:
        row = supervisor.until(rows.filter(due_at=None).first, seconds=PATIENCE)
    except LateError:
        row = rows.first()
    if row is None:
        raise CommandError(f"No conversion was recorded for {order_id}.")
    return row


def exchange(sandbox: str, order_id: str) -> Exchange | None:
    """The last request about this order, if any."""
    with Browser() as browser:
        seen = browser.get(f"{sandbox}/events").json()
    ours = [
        received
        for received in (*seen["events"], *seen["refused"])
        if received["order_id"] == order_id
    ]
    if not ours:
        return None
    return Exchange.from_received(max(ours, key=lambda received: received["number"]))
