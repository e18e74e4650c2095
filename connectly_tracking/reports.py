"""Why an order is, or is not, in Ads Manager: the answer in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import router
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .conf import conf
from .models import Circuit, Conversion, EventName, Reason, State, key_of
from .payload import legible, text_of

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


def explain(order_id: str | int | UUID, *, business: str | None = None) -> str:
    """What became of an order, in a sentence that a marketer understands.

    One sentence for each business that knows the order, or only for ``business``. Times
    are in the current time zone, words in the current language.
    """
    rows = Conversion.objects.using(router.db_for_write(Conversion)).filter(
        event_name=EventName.PURCHASE, key=key_of(text_of(order_id) or "")
    )
    if business is not None:
        rows = rows.filter(business=business)
    found = [explanation(row) for row in rows.order_by("id")]
    if found:
        return "\n".join(found)
    return _(
        "Order %(order)s: never recorded. Either order_completed was not sent for it, "
        "or the shop's log says why it could not be kept; connectly_backfill records "
        "what is missing."
    ) % {"order": legible(order_id)}


def explanation(row: Conversion) -> str:
    """The sentence of one row."""
    parts = [_state_of(row)]
    if row.clicked_at is not None and row.state != State.SKIPPED:
        parts.append(_("clicked %(time)s") % {"time": _time(row.clicked_at)})
    if row.sendout_id:
        parts.append(_("campaign %(campaign)s") % {"campaign": row.sendout_id})
    if row.ad_id:
        parts.append(_("ad %(ad)s") % {"ad": row.ad_id})
    if row.cancelled_at is not None:
        parts.append(_("cancelled %(time)s") % {"time": _time(row.cancelled_at)})
    return _("Order %(order)s: %(words)s.") % {
        "order": row.order_id or "-",
        "words": ", ".join(part.rstrip(".") for part in parts),
    }


def _state_of(row: Conversion) -> str:
    match row.state:
        case State.DELIVERED:
            return _("delivered %(time)s") % {"time": _time(row.delivered_at)}
        case State.PENDING | State.SENDING:
            return _waiting(row)
        case State.REJECTED:
            return _("rejected: %(why)s") % {"why": _why(row)}
        case State.EXPIRED:
            return _("expired: %(why)s") % {"why": _why(row)}
        case _:
            return _("not reported: %(why)s") % {"why": _why(row)}


def _waiting(row: Conversion) -> str:
    paused = Circuit.objects.filter(pk=row.business).exclude(paused_until=None).first()
    if paused is not None:
        return _("waits, since sending is paused: %(why)s") % {
            "why": paused.get_reason_display()
        }
    if row.state == State.SENDING:
        return _("is being sent")
    return _("waits to be sent, next try %(time)s") % {"time": _time(row.due_at)}


def _why(row: Conversion) -> str:
    if row.clicked_at is not None and row.event_time is not None:
        age = row.event_time - row.clicked_at
        window = conf.ATTRIBUTION_WINDOW
        if row.reason == Reason.OUTSIDE_WINDOW and window is not None:
            return ngettext(
                "the click was %(age)d days old, the window is %(window)d day",
                "the click was %(age)d days old, the window is %(window)d days",
                window.days,
            ) % {"age": age.days, "window": window.days}
        if row.reason == Reason.CLICK_AFTER_ORDER:
            return _("the click came after the order, at %(time)s") % {
                "time": _time(row.clicked_at)
            }
    sentence = str(row.explanation).rstrip(".")
    return f"{sentence} ({row.detail})" if row.detail else sentence


def _time(at: datetime | None) -> str:
    if at is None:
        return "-"
    local = timezone.localtime(at) if timezone.is_aware(at) else at
    return local.strftime("%Y-%m-%d %H:%M")
