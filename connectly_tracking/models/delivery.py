"""Written by the workers: each attempt at sending a conversion."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class DeliveryAttempt(models.Model):
    """One attempt at sending a conversion, written with the claim, before it is sent.

    An attempt without an end has an unknown outcome, and is shown as such.
    """

    class Outcome(models.TextChoices):
        CONFIRMED = "confirmed", _("confirmed")
        UNCONFIRMED = "unconfirmed", _("not confirmed")
        REFUSED = "refused", _("refused")
        TRANSIENT = "transient", _("refused for now")
        CONFIGURATION = "configuration", _("wrong settings")
        THROTTLED = "throttled", _("told to wait")
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
