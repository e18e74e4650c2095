"""A finding that is told to somebody, from its beginning to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .clock import DbNow

if TYPE_CHECKING:
    from typing import Self

#: Seconds after which another run may tell what this one has begun to tell.
_CLAIMED_FOR: Final = 300


class AlertQuerySet(models.QuerySet["Alert"]):
    def begin(self, key: str, *, code: str, business: str, detail: str) -> None:
        """Note that a finding is there; nothing changes if that is known."""
        alert = Alert(
            key=key, code=code, business=business, detail=detail, since=DbNow()
        )
        self.bulk_create([alert], ignore_conflicts=True)

    def untold(self) -> Self:
        """Those whose beginning is to be told."""
        return self.filter(told_at=None, ended_at=None)

    def ending(self) -> Self:
        """Those whose beginning was told, and whose end is to be told."""
        return self.filter(told_at__isnull=False, ended_at__isnull=False)

    def claim(self, key: str) -> bool:
        """Whether this run may tell one of these: of two runs at once only one may,
        and none once it was told.
        """
        free = Q(claimed_until=None) | Q(claimed_until__lte=DbNow())
        claimed = self.filter(free, key=key).update(claimed_until=DbNow(_CLAIMED_FOR))
        return bool(claimed)


class Alert(models.Model):
    """One finding of ``watch``; deleted once its end was told."""

    key = models.CharField(max_length=128, primary_key=True)
    code = models.CharField(_("code"), max_length=64)
    business = models.CharField(_("business"), max_length=64, blank=True)
    detail = models.TextField(_("detail"))
    since = models.DateTimeField(_("since"))
    told_at = models.DateTimeField(_("notified at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    claimed_until = models.DateTimeField(null=True, editable=False)

    objects = AlertQuerySet.as_manager()

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering: ClassVar = ["since"]

    def __str__(self) -> str:
        return self.key
