"""A content view after inspection."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..exceptions import InvalidEvent
from .contents import Line, checked_contents, ids_of
from .values import checked_amount, checked_currency, checked_text, unix_time

if TYPE_CHECKING:
    from datetime import datetime, tzinfo
    from decimal import Decimal

    from ..events import ViewContent


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A checked view, ready for the wire. ``event_time``: Unix seconds, UTC."""

    event_time: int
    content_type: str
    content_ids: tuple[str, ...]
    contents: tuple[Line, ...]
    value: Decimal | None
    currency: str

    @classmethod
    def from_view(cls, view: ViewContent, *, now: datetime, zone: tzinfo) -> View:
        """Check a view. Raises InvalidEvent, which names the first wrong field."""
        contents = checked_contents(view.contents)
        ids = ids_of(contents, view.content_ids)
        if not ids:
            raise InvalidEvent("content_ids", "is empty; say what was looked at")
        if (view.value is None) != (view.currency is None):
            raise InvalidEvent("value", "needs a currency, and a currency a value")
        time = now if view.event_time is None else view.event_time
        return cls(
            event_time=unix_time(time, now=now, zone=zone),
            content_type=checked_text("content_type", view.content_type),
            content_ids=ids,
            contents=contents,
            value=None if view.value is None else checked_amount("value", view.value),
            currency="" if view.currency is None else checked_currency(view.currency),
        )

    @property
    def digest(self) -> str:
        """Tells whether two views are of the same content."""
        text = "\n".join((self.content_type, *self.content_ids))
        return hashlib.sha256(text.encode()).hexdigest()
