"""A click: what the landing URL said, and the orders that are bound to it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.conf import settings
from django.db import models, router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..api.landing import MAX_VALUE, PARAMETERS, Landing
from ..conf import DEFAULT_BUSINESS
from .expressions import PrefixIndex

if TYPE_CHECKING:
    from .clock import DbNow

MAX_PAGE: Final = 255  # characters
MAX_REFUSED: Final = 255


def leave_user(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    """As SET_NULL, if the users are in our database. If not, the user's id stays:
    Django would look for our table in the database of the users.
    """
    if using == router.db_for_write(field.model):
        models.SET_NULL(collector, field, sub_objs, using)


leave_user.lazy_sub_objs = True  # type: ignore[attr-defined]


class AttributionQuerySet(models.QuerySet["Attribution"]):
    def prunable(self, before: DbNow) -> AttributionQuerySet:
        return self.filter(captured_at__lt=before)


class Attribution(models.Model):
    """One landing. The five values are as `api.landing` reads them from the link."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    business = models.CharField(
        _("business"), max_length=64, default=DEFAULT_BUSINESS, editable=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        null=True,
        on_delete=leave_user,
        # A customer deleted meanwhile must not fail the page's or the order's commit.
        db_constraint=False,
        related_name="+",
        db_index=False,
    )
    cnct_tracking_id = models.CharField(_("tracking id"), max_length=MAX_VALUE)
    sendout_id = models.CharField(_("campaign"), max_length=MAX_VALUE, blank=True)
    ctwa_clid = models.CharField(_("click id"), max_length=MAX_VALUE, blank=True)
    ad_id = models.CharField(_("ad"), max_length=MAX_VALUE, blank=True)
    attribution_source = models.CharField(_("source"), max_length=MAX_VALUE)
    reportable = models.BooleanField(
        _("reportable"),
        help_text=_("Whether the link was complete, so that Connectly can credit it."),
    )
    refused = models.CharField(
        _("refused values"),
        max_length=MAX_REFUSED,
        blank=True,
        help_text=_("Parameters of the link that were repaired or not kept, and why."),
    )
    page = models.CharField(
        _("landing page"),
        max_length=MAX_PAGE,
        blank=True,
        # During a deploy the previous version of the app inserts rows, too.
        db_default="",
        help_text=_("The path of the page, if it is known."),
    )
    captured_at = models.DateTimeField(_("captured at"), default=timezone.now)

    objects = AttributionQuerySet.as_manager()

    class Meta:
        verbose_name = _("click")
        verbose_name_plural = _("clicks")
        ordering: ClassVar = ["-captured_at"]
        permissions: ClassVar = [
            ("export_customer", "Can export a customer's data"),
            ("forget_customer", "Can forget a customer"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["captured_at"], name="connectly_click_captured"),
            models.Index(fields=["user", "captured_at"], name="connectly_click_user"),
            # For the admin's search and the lists of a campaign and an ad.
            PrefixIndex(fields=["ctwa_clid"], name="connectly_click_clid"),
            PrefixIndex(fields=["cnct_tracking_id"], name="connectly_click_tracking"),
            PrefixIndex(
                fields=["sendout_id", "captured_at"], name="connectly_click_campaign"
            ),
            PrefixIndex(fields=["ad_id", "captured_at"], name="connectly_click_ad"),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @classmethod
    def from_landing(cls, landing: Landing, **fields: Any) -> Attribution:
        """Return a click that is not stored yet."""
        values = {name: getattr(landing, name) for name in PARAMETERS}
        return cls(**values, reportable=landing.is_reportable, **fields)

    @property
    def landing(self) -> Landing:
        """The five values."""
        return Landing(**{name: getattr(self, name) for name in PARAMETERS})


class BindingManager(models.Manager["OrderAttribution"]):
    """Bindings of orders, without the notes about erased clicks."""

    def get_queryset(self) -> models.QuerySet[OrderAttribution]:
        return super().get_queryset().exclude(business="")


class OrderAttribution(models.Model):
    """Binds an order to a click before it is completed without a request.

    Without a click it says that there is to be none: the customer said no.

    Without a business it notes that a click was erased, for sessions that go on with
    it. Then its key is `erased_key`, from which the click's id cannot be read. It is in
    this table so that an order finds both by one query.
    """

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
    bound_at = models.DateTimeField(_("linked at"), default=timezone.now)

    objects = BindingManager()
    with_erased: ClassVar[models.Manager[OrderAttribution]] = models.Manager()

    class Meta:
        verbose_name = _("link of an order to a click")
        verbose_name_plural = _("links of orders to clicks")
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
