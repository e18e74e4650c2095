"""How old an event may be when it is sent, and how long overdue."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.utils import timezone

from ..conf import conf

if TYPE_CHECKING:
    from datetime import datetime

    from ..conf import Conf

#: With MAX_EVENT_AGE None; nothing waits for ever.
MAX_AGE: Final = timedelta(days=30)
#: A poll comes every 30 seconds; a row that waited for four of them is nobody's.
OVERDUE: Final = 120.0  # seconds


def is_overdue(due_at: datetime | None) -> bool:
    """Due for so long that nobody seems to take it."""
    return due_at is not None and due_at < timezone.now() - timedelta(seconds=OVERDUE)


def oldest_sent(settings: Conf = conf) -> datetime:
    """The time before which an event is too old, in the form that the models hold."""
    age = settings.MAX_EVENT_AGE
    return timezone.now() - (MAX_AGE if age is None else age)
