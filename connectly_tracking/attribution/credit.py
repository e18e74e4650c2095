"""Whether a click may be credited with an order, and if not, why."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ..api.landing import META_CTWA
from ..conf import conf
from ..models import Reason
from .rows import stored

if TYPE_CHECKING:
    from datetime import datetime

    from ..models import Attribution

#: A click may come so much after the order: two clocks, and a page that opens late.
GRACE: Final = timedelta(minutes=5)


def fault_of(click: Attribution, event_time: datetime) -> Reason | None:
    """Why this click earns nothing by an order of that time; None where it does."""
    if click.attribution_source != META_CTWA:
        return Reason.OTHER_SOURCE
    if not click.reportable:
        return Reason.INCOMPLETE_CLICK
    if click.captured_at > event_time + GRACE:
        return Reason.CLICK_AFTER_ORDER
    if not click.is_within(conf.ATTRIBUTION_WINDOW, of=event_time):
        return Reason.OUTSIDE_WINDOW
    return None


def best_of(
    user_id: object, event_time: datetime, business: str | None = None
) -> Attribution | None:
    """Of all clicks of one user the one to credit, or to say why not; where a business
    is named only of its own.
    """
    if user_id is None:
        return None  # not saved, or deleted: no stranger's click is this user's
    window = conf.ATTRIBUTION_WINDOW
    clicks = stored() if business is None else stored().filter(business=business)
    return clicks.best_for(
        user_id,
        since=event_time - window if window else None,
        until=event_time + GRACE,
        first=conf.ATTRIBUTION_TOUCH == "first",
    )
