"""Which click an order owes, noted before it is paid."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..conf import DEFAULT_BUSINESS
from .attribution import Attribution


class OrderAttribution(models.Model):
    """Binds an order's id to a click, for whoever completes it without a request."""

    business = models.CharField(
        _("business"), max_length=64, default=DEFAULT_BUSINESS, editable=False
    )
    # As in Conversion: a collation must not merge ORD-1 and ord-1.
    key = models.CharField(max_length=64, editable=False)
    order_id = models.CharField(_("order"), max_length=128)
    attribution = models.ForeignKey(
        Attribution,
        verbose_name=_("click"),
        null=True,
        on_delete=models.CASCADE,
        # It is written in the order's transaction, and checked at its commit; and a
        # click that waits for consent has no row yet. None: the customer said no.
        db_constraint=False,
        related_name="bindings",
    )
    bound_at = models.DateTimeField(_("bound at"), default=timezone.now)

    class Meta:
        verbose_name = _("order's click")
        verbose_name_plural = _("orders' clicks")
        ordering: ClassVar = ["-bound_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["key", "business"], name="connectly_binding_once"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["bound_at"], name="connectly_binding_bound"),
        ]

    def __str__(self) -> str:
        return self.order_id
