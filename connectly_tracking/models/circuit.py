"""Whether a business is paused, and why."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class Circuit(models.Model):
    """One row per business that was ever paused. No row, or no pause: it flows."""

    class Reason(models.TextChoices):
        CONFIGURATION = (
            "configuration",
            _("the key, the business or the address is wrong"),
        )
        REFUSALS = "refusals", _("several events in a row were refused")
        UNAVAILABLE = "unavailable", _("the API is unavailable")
        THROTTLED = "throttled", _("the API asked to wait")

    business = models.CharField(_("business"), max_length=64, primary_key=True)
    paused_until = models.DateTimeField(
        _("paused until"),
        null=True,
        help_text=_("After this one event is tried; empty while all flows."),
    )
    reason = models.CharField(_("reason"), max_length=16, choices=Reason, blank=True)
    detail = models.TextField(_("answer"), blank=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    refusals = models.PositiveIntegerField(_("refusals in a row"), default=0)
    probes = models.PositiveIntegerField(_("probes in this pause"), default=0)
    fingerprint = models.CharField(
        max_length=64,
        blank=True,
        editable=False,
        help_text=_(
            "Of the settings that were refused; a change of them ends the pause."
        ),
    )
    changed_at = models.DateTimeField(_("changed at"))

    class Meta:
        verbose_name = _("circuit")
        verbose_name_plural = _("circuits")
        ordering: ClassVar = ["business"]

    def __str__(self) -> str:
        return self.business
