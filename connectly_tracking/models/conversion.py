"""A conversion and its states. The row is the truth; messages are nudges to look at it.

::

    · ───────► pending ◄──────► sending ───► delivered
    │             ▲                │
    └─► skipped ──┘                └───────► rejected
                     (expired: too old to be sent)

Every arrow is one conditional UPDATE; a count of 0 means that someone else did it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..conf import DEFAULT_BUSINESS
from .attribution import Attribution
from .clock import DbNow

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from django_stubs_ext import StrOrPromise


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
    INVALID = "invalid", _("The order could not be reported as the shop passed it.")
    SENDING_OFF = "sending_off", _("Sending was switched off when it was recorded.")
    REFUSED = "refused", _("Connectly or Meta refused it.")
    UNCONFIRMED = (
        "unconfirmed",
        _("The API answered again and again without confirming it."),
    )
    INTERNAL = "internal", _("It could not be sent because of an error of our own.")


#: A later signal may mend a row that was skipped for one of these.
MENDABLE = (
    Reason.NOT_ATTRIBUTED,
    Reason.INCOMPLETE_CLICK,
    Reason.OTHER_SOURCE,
    Reason.OUTSIDE_WINDOW,
    Reason.CLICK_AFTER_ORDER,
    Reason.INVALID,
)


class ConversionQuerySet(models.QuerySet["Conversion"]):
    def due(self, businesses: Collection[str]) -> ConversionQuerySet:
        """What may be claimed now: waiting, or left behind by a worker that died."""
        return self.filter(business__in=businesses, due_at__lte=DbNow())

    def held_by(self, token: UUID) -> ConversionQuerySet:
        """What is still in the hands of the worker that claimed it under this token."""
        return self.filter(state=State.SENDING, lease_token=token)

    def prunable(self, before: datetime) -> ConversionQuerySet:
        return self.filter(due_at=None, recorded_at__lt=before)

    def mark_sending(self, token: UUID, lease: float) -> int:
        """pending, or sending with its lease over → sending."""
        return self.update(
            state=State.SENDING,
            lease_token=token,
            due_at=DbNow(lease),
            attempts=models.F("attempts") + 1,
        )

    def mark_delivered(self) -> int:
        """any → delivered: a confirmation wins even with a lost lease."""
        return self.exclude(state=State.DELIVERED).update(
            state=State.DELIVERED,
            reason="",
            detail="",
            due_at=None,
            lease_token=None,
            delivered_at=DbNow(),
        )

    def mark_pending(self, wait: float, *, unconfirmed: int = 0) -> int:
        """sending → pending: to be tried again."""
        return self.update(
            state=State.PENDING,
            lease_token=None,
            due_at=DbNow(wait),
            unconfirmed=models.F("unconfirmed") + unconfirmed,
        )

    def mark_rejected(self, reason: Reason) -> int:
        """sending → rejected."""
        return self.update(
            state=State.REJECTED, reason=reason, due_at=None, lease_token=None
        )

    def release(self) -> int:
        """sending → pending: it was not sent, so the attempt does not count."""
        return self.update(
            state=State.PENDING,
            lease_token=None,
            due_at=DbNow(),
            attempts=models.F("attempts") - 1,
        )


class Conversion(models.Model):
    """One event to report. Unique per event, business and order."""

    event_name = models.CharField(_("event"), max_length=16, choices=EventName)
    business = models.CharField(_("business"), max_length=64, default=DEFAULT_BUSINESS)
    # Not the order's id itself: a collation must not merge ORD-1 and ord-1.
    key = models.CharField(max_length=64, editable=False)
    order_id = models.CharField(_("order"), max_length=128, blank=True)
    event_time = models.DateTimeField(
        _("event time"), null=True, help_text=_("When the order was placed.")
    )
    value = models.DecimalField(_("value"), max_digits=24, decimal_places=6, null=True)
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    state = models.CharField(_("state"), max_length=16, choices=State)
    reason = models.CharField(_("reason"), max_length=32, blank=True)
    detail = models.TextField(_("detail"), blank=True)
    # Unconstrained: PostgreSQL would check it at the order's own commit, outside our
    # savepoint, and a click pruned meanwhile would cost the order.
    attribution = models.ForeignKey(
        Attribution,
        verbose_name=_("click"),
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        related_name="conversions",
    )
    sendout_id = models.CharField(_("campaign"), max_length=1024, blank=True)
    ad_id = models.CharField(_("ad"), max_length=1024, blank=True)
    clicked_at = models.DateTimeField(_("clicked at"), null=True)
    # Text, since JSON columns reorder keys and make floats of numbers.
    body = models.TextField(
        _("request body"),
        blank=True,
        help_text=_("What is sent, byte for byte; frozen once it is pending."),
    )
    recorded_at = models.DateTimeField(_("recorded at"))
    due_at = models.DateTimeField(
        _("next try"), null=True, help_text=_("Or the end of the lease while sending.")
    )
    lease_token = models.UUIDField(null=True, editable=False)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    unconfirmed = models.PositiveSmallIntegerField(_("unconfirmed"), default=0)
    crashes = models.PositiveSmallIntegerField(_("crashes"), default=0)
    delivered_at = models.DateTimeField(_("delivered at"), null=True)
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True)

    objects = ConversionQuerySet.as_manager()

    class Meta:
        verbose_name = _("conversion")
        verbose_name_plural = _("conversions")
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["event_name", "business", "key"],
                name="connectly_conversion_once",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    state__in=[State.PENDING, State.SENDING], due_at__isnull=False
                )
                | models.Q(
                    state__in=[
                        State.DELIVERED,
                        State.REJECTED,
                        State.EXPIRED,
                        State.SKIPPED,
                    ],
                    due_at__isnull=True,
                ),
                name="connectly_conversion_due_or_final",
            ),
        ]
        indexes: ClassVar = [
            # Finds what is due, fresh or left behind, whatever the history.
            models.Index(
                fields=["business", "due_at"], name="connectly_conversion_due"
            ),
            models.Index(fields=["order_id"], name="connectly_conversion_order"),
            models.Index(fields=["recorded_at"], name="connectly_conversion_recorded"),
        ]

    def __str__(self) -> str:
        return f"{self.event_name} {self.order_id}"

    @property
    def amount(self) -> str:
        """The value with its currency, for a person; empty where there is none."""
        if self.value is None:
            return ""
        whole, _point, places = f"{self.value:f}".partition(".")
        return f"{whole}.{places.rstrip('0').ljust(2, '0')} {self.currency}"

    @property
    def is_mendable(self) -> bool:
        """Whether a later signal that brings what was missing may still change it."""
        return self.state == State.SKIPPED and self.reason in MENDABLE

    @property
    def explanation(self) -> StrOrPromise:
        """The reason's sentence, or nothing where there is no reason."""
        return Reason(self.reason).label if self.reason in Reason else ""


def key_of(order_id: str) -> str:
    """The key under which an order is recorded once: SHA-256 of its id, in hex."""
    return hashlib.sha256(order_id.encode("utf-8", "surrogatepass")).hexdigest()
