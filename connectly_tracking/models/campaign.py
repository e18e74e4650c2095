"""What campaigns and ads are called, and how far Connectly's messages went."""

from __future__ import annotations

from typing import ClassVar, Final

from django.db import models
from django.utils.translation import gettext_lazy as _

#: What Connectly knows of a campaign before the click, in the order of the funnel.
UPSTREAM: Final = ("sent", "delivered", "read", "link_clicks")


class CampaignName(models.Model):
    """The name of a campaign or an ad. The links have only their ids."""

    class Kind(models.TextChoices):
        CAMPAIGN = "campaign", _("campaign")
        AD = "ad", _("ad")

    # As long as MySQL can keep unique; real ids have at most 36 characters.
    id = models.CharField(
        _("id"),
        max_length=255,
        primary_key=True,
        help_text=_("As in the link: sendout_id of a campaign, ad_id of an ad."),
    )
    kind = models.CharField(
        _("kind"), max_length=16, choices=Kind, default=Kind.CAMPAIGN
    )
    name = models.CharField(_("name"), max_length=255)
    sent = models.PositiveBigIntegerField(_("messages sent"), null=True, blank=True)
    delivered = models.PositiveBigIntegerField(_("delivered"), null=True, blank=True)
    read = models.PositiveBigIntegerField(_("messages read"), null=True, blank=True)
    link_clicks = models.PositiveBigIntegerField(
        _("link clicks"), null=True, blank=True
    )

    class Meta:
        verbose_name = _("campaign name")
        verbose_name_plural = _("campaign names")
        ordering: ClassVar = ["kind", "name", "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def upstream(self) -> dict[str, int]:
        """The counts that are known."""
        counts = {name: getattr(self, name) for name in UPSTREAM}
        return {name: count for name, count in counts.items() if count is not None}


class Campaign(CampaignName):
    """Stands for the campaigns page in the admin, with a permission of its own."""

    class Meta:
        proxy = True
        default_permissions = ("view",)
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
