"""A conversion. The row is the truth; a broker message only says that there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models.signals import post_save, pre_save
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from ..conf import DEFAULT_BUSINESS, conf
from .attribution import Attribution, leave_user
from .clock import DbNow, age_field, ago, greatest_age
from .expressions import PrefixIndex, insert_row
from .states import (
    REPLACEABLE,
    UNDELIVERED,
    WAITING,
    ConversionQuerySet,
    EventName,
    Reason,
    State,
)

if TYPE_CHECKING:
    from datetime import datetime

    from django_stubs_ext import StrOrPromise


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
    # A click is deleted before its orders are, and a customer may ask for both.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        null=True,
        on_delete=leave_user,
        db_constraint=False,
        related_name="+",
    )
    sendout_id = models.CharField(_("campaign"), max_length=1024, blank=True)
    ad_id = models.CharField(_("ad"), max_length=1024, blank=True)
    clicked_at = models.DateTimeField(_("clicked at"), null=True)
    attribution_window = models.DurationField(
        _("attribution window"),
        null=True,
        editable=False,
        help_text=_("The greatest age of a click at that time; empty: no limit."),
    )
    # Text, since JSON columns reorder keys and make floats of numbers.
    body = models.TextField(
        _("request body"),
        blank=True,
        help_text=_("Sent exactly like this. It never changes once it is pending."),
    )
    payload = models.TextField(
        _("order's data"),
        blank=True,
        # During a deploy the previous version of the app inserts rows, too.
        db_default="",
        editable=False,
        help_text=_("Kept for a click that may still come, then cleared."),
    )
    recorded_at = models.DateTimeField(_("recorded at"))
    due_at = models.DateTimeField(
        _("next attempt"),
        null=True,
        help_text=_("While sending: the end of the lease."),
    )
    lease_token = models.UUIDField(null=True, editable=False)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    # Also answers that paused the business, so that no row pauses it for ever.
    unconfirmed = models.PositiveSmallIntegerField(
        _("answers without confirmation"), default=0
    )
    crashes = models.PositiveSmallIntegerField(_("worker crashes"), default=0)
    delivered_at = models.DateTimeField(_("delivered at"), null=True)
    ended_at = models.DateTimeField(
        _("ended at"),
        null=True,
        help_text=_("When it was rejected, expired or skipped after it was pending."),
    )
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True)
    replayed_at = models.DateTimeField(
        _("sent again at"),
        null=True,
        help_text=_("When a user sent it again. Its age counts from then."),
    )

    objects = ConversionQuerySet.as_manager()

    class Meta:
        verbose_name = _("conversion")
        verbose_name_plural = _("conversions")
        ordering: ClassVar = ["-id"]
        permissions: ClassVar = [
            ("send_again_conversion", "Can send conversions again"),
            ("cancel_conversion", "Can cancel conversions"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["event_name", "business", "key"],
                name="connectly_conversion_once",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=[*WAITING], due_at__isnull=False)
                | models.Q(
                    state__in=[State.DELIVERED, *UNDELIVERED], due_at__isnull=True
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
            models.Index(
                fields=["state", "recorded_at"], name="connectly_conversion_state"
            ),
            # What has ended lately, however much ended before.
            models.Index(fields=["ended_at"], name="connectly_conversion_ended"),
            # For the campaign report: an order counts when it was placed.
            models.Index(
                fields=["event_name", "event_time"], name="connectly_conversion_placed"
            ),
            # For the admin's search and the lists of a campaign and an ad.
            PrefixIndex(
                fields=["sendout_id", "recorded_at"],
                name="connectly_conversion_sendout",
            ),
            PrefixIndex(
                fields=["ad_id", "recorded_at"], name="connectly_conversion_ad"
            ),
        ]

    def __str__(self) -> str:
        return f"{capfirst(self.get_event_name_display())} {self.order_id}"

    def insert(self, *, using: str) -> bool:
        """Write it, unless the order has a row. Return whether it did. Not on MySQL.

        As `save`, it sends Django's signals.
        """
        sent: dict[str, Any] = {"instance": self, "raw": False, "using": using}
        pre_save.send(Conversion, update_fields=None, **sent)
        is_new = insert_row(self, using=using)
        if is_new:
            post_save.send(Conversion, created=True, update_fields=None, **sent)
        return is_new

    def credit(self, click: Attribution) -> None:
        """Copy what outlives the click, and the window by which it is judged."""
        self.attribution_id = click.pk
        self.user_id = self.user_id or click.user_id
        self.sendout_id, self.ad_id = click.sendout_id, click.ad_id
        self.clicked_at = click.captured_at
        self.attribution_window = conf.ATTRIBUTION_WINDOW

    def schedule(self, *, hold: float | None = None) -> None:
        """Make it pending, due after HOLD; or skipped, if sending is switched off."""
        if conf.SEND:
            self.state, self.reason = State.PENDING, ""
            self.due_at = DbNow(conf.HOLD if hold is None else hold)
        else:
            self.state, self.reason = State.SKIPPED, Reason.SENDING_OFF

    def expire_if_too_old(self, *, using: str) -> None:
        """Expire a pending row that was just written, if it is too old to be sent."""
        field, limit = age_field(), greatest_age()
        at = getattr(self, field)
        if self.state == State.PENDING and at and at < timezone.now() - limit:
            # So this process's clock says; the database's decides.
            rows = type(self).objects.using(using).filter(pk=self.pk)
            too_old = rows.filter(state=State.PENDING, **{f"{field}__lt": ago(limit)})
            if too_old.mark_expired():
                self.refresh_from_db(using=using)

    @property
    def expires_at(self) -> datetime | None:
        """When it becomes too old to be sent; None if it has no time.

        Raises ImproperlyConfigured if MAX_EVENT_AGE is wrong.
        """
        began = self.replayed_at or getattr(self, age_field())
        return began + greatest_age() if began else None

    @property
    def amount(self) -> str:
        """The value with its currency, as the language writes it; empty without one."""
        if self.value is None:
            return ""
        places = f"{self.value:f}".partition(".")[2].rstrip("0")
        digits = max(len(places), 2)
        value = number_format(self.value, digits, force_grouping=True)
        return f"{value} {self.currency}"

    @property
    def is_replaceable(self) -> bool:
        """Whether a later signal may replace it, if that brings what was missing."""
        return (
            self.state == State.SKIPPED
            and self.reason in REPLACEABLE
            and self.cancelled_at is None
        )

    @property
    def explanation(self) -> StrOrPromise:
        """Why it is in its state, as a clause, or an empty string."""
        if self.reason in Reason:
            return Reason(self.reason).label
        if self.cancelled_at is not None:
            return _("the order was cancelled while it was being sent, or afterwards")
        return ""
