"""What to do about an order, or expect of it: true for this order on this day."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.translation import gettext as _

from ..models import (
    PAYLOAD_KEPT_FOR,
    Conversion,
    Reason,
    State,
    age_field,
    greatest_age,
    zoned_text,
)
from ..remedies import FOR_REASON, IN_ADS_MANAGER, NOT_IN_ADS_MANAGER, TOO_OLD_FOR_META

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

#: Meta refuses older events, and shows no purchase that came later after the click.
META_LIMIT: Final = timedelta(days=7)


def advice_for(row: Conversion) -> str:
    """Return what to do about an order, or an empty string."""
    return " ".join(str(sentence) for sentence in _advice(row))


def is_too_old_for_meta(row: Conversion) -> bool:
    return row.event_time is not None and row.event_time < timezone.now() - META_LIMIT


def _advice(row: Conversion) -> Iterator[object]:
    if row.state == State.DELIVERED:
        if row.event_time is not None and row.clicked_at is not None:
            is_late = row.event_time - row.clicked_at > META_LIMIT
            yield NOT_IN_ADS_MANAGER if is_late else IN_ADS_MANAGER
        return
    if row.state in (State.PENDING, State.SENDING):
        if is_too_old_for_meta(row):
            yield TOO_OLD_FOR_META
        return
    yield FOR_REASON.get(row.reason, "")
    if row.reason in (Reason.NOT_ATTRIBUTED, Reason.CONSENT_PENDING):
        yield from _if_a_click_comes(row)
    elif row.reason == Reason.INVALID or (row.body and row.reason in FOR_REASON):
        yield from _if_it_is_sent(row)


def _if_a_click_comes(row: Conversion) -> Iterator[str]:
    until = _awaits_click_until(row)
    if row.reason == Reason.NOT_ATTRIBUTED and until is not None:
        yield _("If a click is found by %(time)s, the order is still sent.") % {
            "time": zoned_text(until)
        }
    if row.reason == Reason.CONSENT_PENDING:
        if until is None:
            yield _(
                "Even if the customer consents now, it is too late to send this order."
            )
        else:
            yield _("If the customer consents by %(time)s, the order is sent.") % {
                "time": zoned_text(until)
            }


def _awaits_click_until(row: Conversion) -> datetime | None:
    """Return when the order is no longer sent, click or not; None if it is over."""
    if not row.payload or row.cancelled_at is not None or row.event_time is None:
        return None
    try:
        too_old_at = getattr(row, age_field()) + greatest_age()
    except ImproperlyConfigured:
        return None  # the delivery page shows the error
    until: datetime = min(row.recorded_at + PAYLOAD_KEPT_FOR, too_old_at)
    return until if until > timezone.now() else None


def _if_it_is_sent(row: Conversion) -> Iterator[object]:
    if is_too_old_for_meta(row):
        yield TOO_OLD_FOR_META
    elif row.event_time is not None and row.body:
        until = {"time": zoned_text(row.event_time + META_LIMIT)}
        yield _("You can send it again until %(time)s; later, Meta refuses it.") % until
