"""What comes next for a conversion, and what a person may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from ..models import Circuit, Reason, State, is_overdue

if TYPE_CHECKING:
    from datetime import datetime

    from django_stubs_ext import StrOrPromise

    from ..models import Conversion

REMEDIES: Final[dict[str, StrOrPromise]] = {
    Circuit.Reason.CONFIGURATION: _(
        "Mend API_KEY, BUSINESS_ID or BASE_URL. It goes on as soon as the settings "
        "change, and nothing is lost."
    ),
    Circuit.Reason.REFUSALS: _(
        "Read the words at those that were rejected: what they have in common is at "
        "fault, most likely in the adapter."
    ),
    Circuit.Reason.UNAVAILABLE: _(
        "Nothing to do: one event at a time is tried, and all go out when it is "
        "answered."
    ),
    Circuit.Reason.THROTTLED: _("Nothing to do: it goes on when that time is over."),
}
_REASONS: Final[dict[str, StrOrPromise]] = {
    Reason.NOT_ATTRIBUTED: _(
        "Nothing to do where the customer came another way. A click that is found "
        "within two days still sends it."
    ),
    Reason.INCOMPLETE_CLICK: _(
        "Look for what strips parameters: a redirect, a link shortener, a CDN."
    ),
    Reason.OTHER_SOURCE: _("Nothing to do: only meta_ctwa is credited."),
    Reason.OUTSIDE_WINDOW: _("Nothing to do; ATTRIBUTION_WINDOW is yours to choose."),
    Reason.CLICK_AFTER_ORDER: _(
        "Nothing to do, unless the adapter passes another time than the order's own."
    ),
    Reason.CONSENT_PENDING: _("A yes within two days sends it."),
    Reason.INVALID: _(
        "Mend the field that is named, in the adapter; then run connectly_backfill."
    ),
    Reason.SENDING_OFF: _("Send it again if SEND was switched off by mistake."),
    Reason.EXPIRED: _(
        "Find out why it waited. It can be sent all the same, though Meta refuses what "
        "is more than seven days old."
    ),
    Reason.REFUSED: _(
        "Read the answer's words. Send it again only if you know that it was not "
        "counted."
    ),
    Reason.UNCONFIRMED: _(
        "Look at BASE_URL and at any proxy; then it can be sent again."
    ),
    Reason.INTERNAL: _("Look into the worker's log; then it can be sent again."),
}


def next_step(conversion: Conversion, pause: Circuit | None) -> StrOrPromise:
    """``pause`` is that of its business, if there is one."""
    match conversion.state:
        case State.PENDING if pause is not None:
            return _now("Sending is paused: %(why)s. %(remedy)s") % {
                "why": pause.get_reason_display(),
                "remedy": REMEDIES.get(pause.reason, ""),
            }
        case State.PENDING if is_overdue(conversion.due_at):
            return _now(
                "It has been due since %(time)s and nobody has taken it: is a worker "
                "running, and beat?"
            ) % {"time": clock(conversion.due_at)}
        case State.PENDING:
            return _now("It is sent at %(time)s.") % {"time": clock(conversion.due_at)}
        case State.SENDING:
            return _now(
                "A worker has it in hand; if that worker dies, another takes it after "
                "%(time)s."
            ) % {"time": clock(conversion.due_at)}
        case State.DELIVERED if conversion.cancelled_at is not None:
            return _now("It cannot be taken back: Connectly has no event for that.")
    return _REASONS.get(conversion.reason, "")


def clock(at: datetime | None, how: str = "Y-m-d H:i:s") -> str:
    """A time to the second, in the current time zone."""
    if at is None:
        return "-"
    local = timezone.localtime(at) if timezone.is_aware(at) else at
    return date_format(local, how)


def minute(at: datetime | None) -> str:
    """As `clock`, for lists."""
    return clock(at, "Y-m-d H:i")
