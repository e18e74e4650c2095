"""Written by the workers: each attempt at sending a conversion."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from .states import State

if TYPE_CHECKING:
    from typing import Self

    from .conversion import Conversion


class DeliveryAttempt(models.Model):
    """One attempt at sending a conversion, written with its result.

    An attempt without an end has an unknown outcome, and is shown as such: its worker
    ended, and the next one wrote that. `under_way` is one that is not written yet.
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

    # Made of the claim's token and the row, so that every worker can write it.
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

    @classmethod
    def under_way(cls, conversion: Conversion) -> Self | None:
        """The attempt of a row that a worker has claimed, or left behind."""
        if conversion.state != State.SENDING or conversion.due_at is None:
            return None
        lease = 0.0
        with suppress(ImproperlyConfigured):  # `check` reports the problem
            lease = conf.LEASE
        started_at = conversion.due_at - timedelta(seconds=lease)
        return cls(conversion=conversion, started_at=started_at)
