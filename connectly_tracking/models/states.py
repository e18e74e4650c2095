"""The states of a conversion and the reasons for them.

::

    recorded ──► pending ◄──────► sending ──► delivered      Connectly confirmed it
       │          ▲   │              │
       │    mended│   │cancelled     ├──────► rejected       refused for good
       ▼          │   ▼              │
     skipped ─────┘ skipped          └──────► expired        too old (pending, too)

    rejected, expired, skipped ──► pending                   a person replays it

A backfill records as expired from the start what is too old by then.

Every arrow is one conditional UPDATE; a count of 0 means that someone else did it. A
confirmation makes a row delivered whatever its state.
"""

from __future__ import annotations

import hashlib

from django.db import models
from django.utils.translation import gettext_lazy as _


class EventName(models.TextChoices):
    PURCHASE = "Purchase", _("purchase")
    VIEW_CONTENT = "ViewContent", _("content view")


class State(models.TextChoices):
    PENDING = "pending", _("pending")
    """Waits for `due_at`."""
    SENDING = "sending", _("sending")
    """A worker holds it until `due_at`, the end of its lease."""
    DELIVERED = "delivered", _("delivered")
    """Connectly confirmed it."""
    REJECTED = "rejected", _("rejected")
    """Refused for good; Connectly may have counted it all the same."""
    EXPIRED = "expired", _("expired")
    """Too old to be sent."""
    SKIPPED = "skipped", _("skipped")
    """Not to be sent, for the reason given."""


class Reason(models.TextChoices):
    """Why a conversion is where it is, in words that a marketer understands."""

    NOT_ATTRIBUTED = "not_attributed", _("No click on a WhatsApp ad is known for it.")
    INCOMPLETE_CLICK = (
        "incomplete_click",
        _("The link that was clicked lacked some of Connectly's parameters."),
    )
    OTHER_SOURCE = (
        "other_source",
        _("The click came from a source that Connectly does not credit."),
    )
    OUTSIDE_WINDOW = (
        "outside_window",
        _("The click is older than the attribution window."),
    )
    CLICK_AFTER_ORDER = (
        "click_after_order",
        _("The click came after the order was placed."),
    )
    CONSENT_PENDING = (
        "consent_pending",
        _("The customer had not yet been asked for consent."),
    )
    CONSENT_REFUSED = "consent_refused", _("The customer did not consent.")
    CONSENT_WITHDRAWN = (
        "consent_withdrawn",
        _("The customer withdrew consent before it was reported."),
    )
    INVALID = "invalid", _("The order could not be reported as the shop passed it.")
    SENDING_OFF = "sending_off", _("Sending was switched off when it was recorded.")
    CANCELLED = (
        "cancelled",
        _("The order was cancelled before Connectly had confirmed it."),
    )
    EXPIRED = "expired", _("It had become too old before it could be sent.")
    REFUSED = "refused", _("Connectly or Meta refused it.")
    UNCONFIRMED = (
        "unconfirmed",
        _("The API answered again and again without confirming it."),
    )
    INTERNAL = (
        "internal",
        _("It could not be sent: it failed in our own code, or stopped its worker."),
    )


#: Skipped for want of a click: a later signal, binding or consent may bring one.
WANTING = (
    Reason.NOT_ATTRIBUTED,
    Reason.INCOMPLETE_CLICK,
    Reason.OTHER_SOURCE,
    Reason.OUTSIDE_WINDOW,
    Reason.CLICK_AFTER_ORDER,
    Reason.CONSENT_PENDING,
)
#: A later signal may mend a row that was skipped for one of these.
MENDABLE = (*WANTING, Reason.INVALID)


def key_of(order_id: str) -> str:
    """The key under which an order is recorded once: SHA-256 of its id, in hex."""
    return hashlib.sha256(order_id.encode("utf-8", "surrogatepass")).hexdigest()
