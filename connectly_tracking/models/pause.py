"""Pauses of a business: the one that is on, and those that were."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from django.db import models
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext_lazy as _

from .clock import DbNow, zoned_text
from .conversion import Conversion
from .states import read_committed

if TYPE_CHECKING:
    from typing import Any, Self

#: Whether a circuit's business is paused, or its last answers were not good.
TROUBLE: Final = "paused_until IS NOT NULL OR failures > 0 OR refusals > 0"


class CircuitQuerySet(models.QuerySet["Circuit"]):
    def paused(self) -> Self:
        """The businesses that are paused, by a fault or by a person."""
        return self.exclude(paused_until=None)

    def probed(self) -> Self:
        """Those whose pause ends by itself: not those that a person has paused."""
        return self.paused().exclude(reason=Circuit.Reason.BY_HAND)

    def pause(
        self, business: str, *, reason: str, detail: str = "", **fields: object
    ) -> int:
        """flowing → paused. Returns 0 if the business is paused already."""
        # No row is there before the first trouble; two may find that at once. Alone:
        # MySQL locks a row that is there already, and two of us would deadlock.
        blank = Circuit(business=business, changed_at=DbNow())
        self.bulk_create([blank], ignore_conflicts=True)
        with read_committed(self.db):
            began = self.filter(pk=business, paused_until=None).update(
                reason=reason, detail=detail, changed_at=DbNow(), **fields
            )
            if began:
                pause = Pause(
                    business=business, began=DbNow(), reason=reason, detail=detail
                )
                Pause.objects.using(self.db).bulk_create([pause])
        return began

    def resume(self, business: str, *, by: str, tried: int = 0) -> int:
        """paused → flowing, for the rows of ``self``. ``by``: who or what ended it;
        ``tried``: how many orders were held that do not wait any more.
        """
        with read_committed(self.db):
            ended = (
                self.paused()
                .filter(pk=business)
                .update(
                    paused_until=None,
                    reason="",
                    detail="",
                    probes=0,
                    changed_at=DbNow(),
                )
            )
            if ended:
                waiting = Conversion.objects.using(self.db).waiting()
                held = waiting.filter(business=business).count()
                pauses = Pause.objects.using(self.db)
                pauses.filter(business=business, ended=None).update(
                    ended=DbNow(), ended_by=by[:150], held=held + tried
                )
        return ended


class Circuit(models.Model):
    """Whether a business is paused. A business that was never paused has no row."""

    class Reason(models.TextChoices):
        CONFIGURATION = (
            "configuration",
            _("the key, the business or the address is wrong"),
        )
        META_LINK = "meta_link", _("Connectly has lost its access to Meta")
        REFUSALS = "refusals", _("several reports in a row were refused")
        UNAVAILABLE = "unavailable", _("the API is unavailable")
        THROTTLED = "throttled", _("the API told us to wait")
        BY_HAND = "by_hand", _("by hand")

    business = models.CharField(_("business"), max_length=64, primary_key=True)
    paused_until = models.DateTimeField(
        _("paused until"),
        null=True,
        help_text=_(
            "Then one order is sent, to see whether it is accepted. Empty if the "
            "business is not paused."
        ),
    )
    reason = models.CharField(_("reason"), max_length=16, choices=Reason, blank=True)
    detail = models.TextField(_("answer"), blank=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    refusals = models.PositiveIntegerField(_("refusals in a row"), default=0)
    probes = models.PositiveIntegerField(_("attempts in this pause"), default=0)
    fingerprint = models.CharField(
        max_length=64,
        blank=True,
        editable=False,
        help_text=_(
            "Fingerprint of the refused settings. Once they change, an order is sent "
            "without waiting."
        ),
    )
    changed_at = models.DateTimeField(_("changed at"))

    objects = CircuitQuerySet.as_manager()

    class Meta:
        verbose_name = _("state of sending")
        verbose_name_plural = _("states of sending")
        ordering: ClassVar = ["business"]

    def __str__(self) -> str:
        return self.business

    @property
    def is_by_hand(self) -> bool:
        """Whether it lasts until a person ends it."""
        return self.reason == Circuit.Reason.BY_HAND


class OfCircuit(RawSQL):
    """A value from the circuit of a business beside each row, or NULL without one.

    As SQL, since a worker asks this with every few rows, and Django's `Subquery` takes
    longer to build than the statement to run.
    """

    def __init__(
        self, sql: str, business: str, output_field: models.Field[Any, Any]
    ) -> None:
        table = Circuit._meta.db_table
        select = f"SELECT {sql} FROM {table} WHERE business = %s"  # noqa: S608 - constants
        super().__init__(select, [business], output_field)

    @classmethod
    def trouble(cls, business: str) -> Self:
        """1 if the business is paused, or its last answers were not good; else 0."""
        sql = f"CASE WHEN {TROUBLE} THEN 1 ELSE 0 END"
        return cls(sql, business, models.IntegerField())


class Pause(models.Model):
    """One pause of a business, kept after it is over."""

    business = models.CharField(_("business"), max_length=64)
    began = models.DateTimeField(_("began"))
    ended = models.DateTimeField(
        _("ended"), null=True, help_text=_("Empty while the pause is on.")
    )
    reason = models.CharField(_("reason"), max_length=16, choices=Circuit.Reason)
    detail = models.TextField(_("answer"), blank=True)
    held = models.PositiveIntegerField(
        _("orders waiting"), default=0, help_text=_("How many waited when it ended.")
    )
    ended_by = models.CharField(
        _("ended by"),
        max_length=150,
        blank=True,
        help_text=_("An order that was answered, or a user."),
    )

    class Meta:
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")
        ordering: ClassVar = ["-began"]
        permissions: ClassVar = [("pause_business", "Can pause and resume a business")]
        indexes: ClassVar = [
            models.Index(fields=["business", "ended"], name="connectly_pause_business"),
            models.Index(fields=["began"], name="connectly_pause_began"),
        ]

    def __str__(self) -> str:
        return f"{self.business} {zoned_text(self.began)}"
