"""The states of a conversion and the reasons for them.

::

    recorded ──► pending ◄──────► sending ──► delivered      Connectly confirmed it
       │          ▲   │              │
       │ a click  │   │ cancelled    ├──────► rejected       refused for good
       ▼  came    │   ▼              │
     skipped ─────┘ skipped          └──────► expired        too old (pending, too)

    rejected, expired, skipped ──► pending                   a person replays it

A backfill records an order that is too old as expired at once.

Every arrow is one conditional UPDATE; a count of 0 means that another process was
first. A confirmation makes a row delivered whatever its state is.
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
    """A worker has it until `due_at`, the end of its lease."""
    DELIVERED = "delivered", _("delivered")
    """Connectly confirmed it."""
    REJECTED = "rejected", _("rejected")
    """Refused for good, although Connectly may have counted it."""
    EXPIRED = "expired", _("expired")
    """Too old to be sent."""
    SKIPPED = "skipped", _("skipped")
    """Not to be sent, for the reason given."""


class Reason(models.TextChoices):
    """Why a conversion is in its state, as a clause that follows "because"."""

    NOT_ATTRIBUTED = "not_attributed", _("no click on a WhatsApp ad is known for it")
    INCOMPLETE_CLICK = (
        "incomplete_click",
        _("the clicked link lacked some of Connectly's parameters"),
    )
    OTHER_SOURCE = (
        "other_source",
        _("its click came from a source that Connectly does not credit"),
    )
    OUTSIDE_WINDOW = (
        "outside_window",
        _("the click was older than the attribution window"),
    )
    CLICK_AFTER_ORDER = (
        "click_after_order",
        _("the ad was clicked after the order was placed"),
    )
    CONSENT_PENDING = (
        "consent_pending",
        _("the customer had not yet given or refused consent"),
    )
    CONSENT_REFUSED = "consent_refused", _("the customer did not give consent")
    CONSENT_WITHDRAWN = (
        "consent_withdrawn",
        _("the customer withdrew consent before it was sent"),
    )
    INVALID = "invalid", _("the data from the shop was not valid")
    SENDING_OFF = "sending_off", _("sending was switched off when it was recorded")
    CANCELLED = "cancelled", _("it was cancelled before Connectly confirmed it")
    EXPIRED = "expired", _("it was too old before it could be sent")
    REFUSED = "refused", _("Connectly or Meta refused it")
    UNCONFIRMED = "unconfirmed", _("Connectly never confirmed it")
    INTERNAL = "internal", _("there was an internal error in this app")


#: Skipped because it has no click: a later signal, binding or consent may bring one.
AWAITING_CLICK = (
    Reason.NOT_ATTRIBUTED,
    Reason.INCOMPLETE_CLICK,
    Reason.OTHER_SOURCE,
    Reason.OUTSIDE_WINDOW,
    Reason.CLICK_AFTER_ORDER,
    Reason.CONSENT_PENDING,
)
#: A later signal may replace a row that was skipped for one of these.
REPLACEABLE = (*AWAITING_CLICK, Reason.INVALID)


def key_of(order_id: str) -> str:
    """Return the unique key of an order: the SHA-256 of its id, in hex."""
    return hashlib.sha256(order_id.encode("utf-8", "surrogatepass")).hexdigest()
