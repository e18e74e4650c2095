"""Why an order is, or is not, in Ads Manager: the answer in words."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..api.values import id_text, safe_id
from ..conf import conf
from ..models import (
    Circuit,
    Conversion,
    EventName,
    OrderAttribution,
    Reason,
    State,
    is_overdue,
    key_of,
)

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

_Keyed = TypeVar("_Keyed", Conversion, OrderAttribution)


def explain(order_id: str | int | UUID, *, business: str | None = None) -> str:
    """What became of an order, in a sentence that a marketer understands.

    One sentence for each business that knows the order, or only for ``business``. Times
    are in the current time zone, words in the current language.
    """
    return "\n".join(explanations(order_id, business=business))


def explanations(
    order_id: str | int | UUID, *, business: str | None = None
) -> list[str]:
    """As `explain`, each business by itself; at most two statements."""
    rows = _of(Conversion, order_id, business).filter(
        event_name=EventName.PURCHASE, order_id=safe_id(order_id)
    )
    found = list(rows.order_by("id"))
    if not found:
        return [_unrecorded(order_id, business)]
    paused = _paused(found)
    several = len(found) > 1
    return [_recorded(row, paused.get(row.business), several) for row in found]


def explanation_of(row: Conversion) -> str:
    """As `explain`, of a row in hand."""
    return _recorded(row, _paused([row]).get(row.business), False)


def _of(
    model: type[_Keyed], order_id: object, business: str | None
) -> QuerySet[_Keyed]:
    rows = model._default_manager.using(router.db_for_write(model))
    rows = rows.filter(key=key_of(id_text(order_id) or ""))
    return rows if business is None else rows.filter(business=business)


def _paused(rows: list[Conversion]) -> dict[str, Circuit]:
    """The pauses that hold some of these up."""
    waiting = {it.business for it in rows if it.state in (State.PENDING, State.SENDING)}
    if not waiting:
        return {}
    circuits = Circuit.objects.using(router.db_for_write(Circuit))
    return circuits.exclude(paused_until=None).in_bulk(waiting)


def _recorded(row: Conversion, pause: Circuit | None, is_one_of_several: bool) -> str:
    words = [_state_of(row, pause)]
    if row.state != State.SKIPPED:
        words += _clicked(row.clicked_at)
    words += _ad(row.sendout_id, row.ad_id)
    if row.cancelled_at is not None:
        words.append(_("cancelled %(time)s") % {"time": _time(row.cancelled_at)})
    if is_one_of_several:
        words.append(_("business %(business)s") % {"business": row.business})
    return _sentence(row.order_id, words)


def _unrecorded(order_id: object, business: str | None) -> str:
    bindings = _of(OrderAttribution, order_id, business).select_related("attribution")
    # Without a click its customer said no.
    bound = bindings.exclude(attribution=None).order_by("-bound_at").first()
    if bound is not None:
        return _bound(bound)
    why = _(
        "Either order_completed was not sent for it, or the shop's log says why it "
        "could not be kept; connectly_backfill records what is missing."
    )
    if not conf.RECORD_UNATTRIBUTED:
        why = _(
            "It had no click, and orders without one leave no trace here; or "
            "order_completed was not sent for it, or the shop's log says why it could "
            "not be kept."
        )
    days = max(conf.RETENTION.days, 1)
    kept = ngettext(
        "What is older than %(days)d day may have been deleted.",
        "What is older than %(days)d days may have been deleted.",
        days,
    ) % {"days": days}
    return f"{_sentence(safe_id(order_id), [_('never recorded')])} {why} {kept}"


def _bound(binding: OrderAttribution) -> str:
    click = binding.attribution
    words = [_("bound to a click %(time)s") % {"time": _time(binding.bound_at)}]
    if click is not None:
        words += _clicked(click.captured_at)
        words += _ad(click.sendout_id, click.ad_id)
    words.append(_("but never recorded"))
    why = _(
        "It is not paid yet, or order_completed was not sent for it, or the shop's log "
        "says why it could not be kept; connectly_backfill records what is missing."
    )
    return f"{_sentence(binding.order_id, words)} {why}"


def _sentence(order: str, words: list[str]) -> str:
    return _("Order %(order)s: %(words)s.") % {
        "order": order or "-",
        "words": ", ".join(word.rstrip(".") for word in words),
    }


def _clicked(at: datetime | None) -> list[str]:
    return [] if at is None else [_("clicked %(time)s") % {"time": _time(at)}]


def _ad(sendout_id: str, ad_id: str) -> list[str]:
    words = []
    if sendout_id:
        words.append(_("campaign %(campaign)s") % {"campaign": sendout_id})
    if ad_id:
        words.append(_("ad %(ad)s") % {"ad": ad_id})
    return words


def _state_of(row: Conversion, pause: Circuit | None) -> str:
    match row.state:
        case State.DELIVERED:
            return _("delivered %(time)s") % {"time": _time(row.delivered_at)}
        case State.PENDING | State.SENDING:
            return _waiting(row, pause)
        case State.REJECTED:
            return _("rejected: %(why)s") % {"why": _why(row)}
        case State.EXPIRED:
            return _("expired: %(why)s") % {"why": _why(row)}
        case _:
            return _("not reported: %(why)s") % {"why": _why(row)}


def _waiting(row: Conversion, pause: Circuit | None) -> str:
    if obstacle := _obstacle(row):
        return _("waits, since %(why)s") % {"why": obstacle}
    if pause is not None:
        return _("waits, since sending is paused: %(why)s") % {
            "why": pause.get_reason_display()
        }
    if row.state == State.SENDING:
        return _("is being sent")
    return _("waits to be sent, next try %(time)s") % {"time": _time(row.due_at)}


def _obstacle(row: Conversion) -> str:
    """What in the settings keeps it back. A key that only the workers have is missed
    here no sooner than they are late.
    """
    try:
        if not conf.SEND:
            return _("sending is switched off by SEND")
        if is_overdue(row.due_at):
            conf.business(row.business)
    except ImproperlyConfigured as exc:
        return str(exc)
    return ""


def _why(row: Conversion) -> str:
    if row.clicked_at is not None and row.event_time is not None:
        age = row.event_time - row.clicked_at
        window = conf.ATTRIBUTION_WINDOW
        if row.reason == Reason.OUTSIDE_WINDOW and window is not None:
            return _aged(age, window)
        if row.reason == Reason.CLICK_AFTER_ORDER:
            return _("the click came after the order, at %(time)s") % {
                "time": _time(row.clicked_at)
            }
    sentence = str(row.explanation).rstrip(".")
    detail = row.detail.rstrip(".")
    return f"{sentence} ({detail})" if detail else sentence


def _aged(age: timedelta, window: timedelta) -> str:
    """In days, where they tell the two apart; else in hours."""
    if age.days > window.days and window == timedelta(days=window.days):
        return ngettext(
            "the click was %(age)d days old, the window is %(window)d day",
            "the click was %(age)d days old, the window is %(window)d days",
            window.days,
        ) % {"age": age.days, "window": window.days}
    hours = {"age": age // timedelta(hours=1), "window": window // timedelta(hours=1)}
    return (
        ngettext(
            "the click was %(age)d hours old, the window is %(window)d hour",
            "the click was %(age)d hours old, the window is %(window)d hours",
            hours["window"],
        )
        % hours
    )


def _time(at: datetime | None) -> str:
    if at is None:
        return "-"
    local = timezone.localtime(at) if timezone.is_aware(at) else at
    return local.strftime("%Y-%m-%d %H:%M")
