"""Written by the workers: each try at sending a conversion, and each pause."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class DeliveryAttempt(models.Model):
    """One try at sending a conversion, written with the claim, before it is sent.

    An attempt without an end has an unknown outcome, and is shown as such.
    """

    class Outcome(models.TextChoices):
        CONFIRMED = "confirmed", _("confirmed")
        UNCONFIRMED = "unconfirmed", _("not confirmed")
        REFUSED = "refused", _("refused")
        TRANSIENT = "transient", _("refused for now")
        CONFIGURATION = "configuration", _("wrong settings")
        THROTTLED = "throttled", _("asked to wait")
        UNAVAILABLE = "unavailable", _("API unavailable")
        NOT_SENT = "not_sent", _("not sent")
        UNKNOWN = "unknown", _("unknown")
        INTERNAL = "internal", _("internal error in this app")

    # Made here and not by the database, so that a claim need not read it back.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversion = models.ForeignKey(
        "Conversion",
        on_delete=models.CASCADE,
        # A deleted row must not keep the rows settled with it from being settled.
        db_constraint=False,
        related_name="delivery_attempts",
    )
    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"), null=True)
    outcome = models.CharField(
        _("outcome"), max_length=16, choices=Outcome, default=Outcome.UNKNOWN
    )
    status_code = models.PositiveSmallIntegerField(_("status"), null=True)
    detail = models.TextField(
        _("answer"), blank=True, help_text=_("Connectly's or the network's message.")
    )

    class Meta:
        verbose_name = _("delivery attempt")
        verbose_name_plural = _("delivery attempts")
        ordering: ClassVar = ["started_at"]

    def __str__(self) -> str:
        return str(self.pk)


class Circuit(models.Model):
    """Whether a business is paused. A business that was never paused has no row."""

    class Reason(models.TextChoices):
        CONFIGURATION = (
            "configuration",
            _("the key, the business or the address is wrong"),
        )
        META_LINK = "meta_link", _("Connectly's link to Meta has lapsed")
        REFUSALS = "refusals", _("several events in a row were refused")
        UNAVAILABLE = "unavailable", _("the API is unavailable")
        THROTTLED = "throttled", _("the API asked to wait")

    business = models.CharField(_("business"), max_length=64, primary_key=True)
    paused_until = models.DateTimeField(
        _("paused until"),
        null=True,
        help_text=_("Then one event is tried. Empty if the business is not paused."),
    )
    reason = models.CharField(_("reason"), max_length=16, choices=Reason, blank=True)
    detail = models.TextField(_("answer"), blank=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    refusals = models.PositiveIntegerField(_("refusals in a row"), default=0)
    probes = models.PositiveIntegerField(_("tries in this pause"), default=0)
    fingerprint = models.CharField(
        max_length=64,
        blank=True,
        editable=False,
        help_text=_("Of the refused settings; other settings end the pause."),
    )
    changed_at = models.DateTimeField(_("changed at"))

    class Meta:
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")
        ordering: ClassVar = ["business"]

    def __str__(self) -> str:
        return self.business
