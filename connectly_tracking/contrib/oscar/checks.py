"""Checks that the statuses in the settings are statuses of the shop's orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from oscar.core.loading import get_model

from connectly_tracking.conf import conf

if TYPE_CHECKING:
    from django.core.checks import CheckMessage


def register_oscar_checks() -> None:
    """Call this once, when the app registry is ready."""
    checks.register(check_statuses, checks.Tags.compatibility)


def check_statuses(**_: Any) -> list[CheckMessage]:
    """With a status that no order has, no order would be reported, without a word."""
    try:
        purchase, cancelled = conf.OSCAR_PURCHASE_STATUS, conf.OSCAR_CANCEL_STATUSES
    except ImproperlyConfigured:
        return []  # the setting's own check reports it
    found: list[CheckMessage] = []
    if purchase in cancelled:
        found.append(
            checks.Error(
                f"CONNECTLY_TRACKING['OSCAR_PURCHASE_STATUS'] ({purchase!r}) is "
                "in OSCAR_CANCEL_STATUSES, too.",
                hint="The same status cannot mean both paid and cancelled.",
                id="connectly_tracking_oscar.E001",
            )
        )
    chosen = [] if purchase is None else [("OSCAR_PURCHASE_STATUS", purchase)]
    if "OSCAR_CANCEL_STATUSES" in conf.raw:
        chosen += [("OSCAR_CANCEL_STATUSES", status) for status in cancelled]
    known = _statuses()
    found.extend(
        checks.Warning(
            f"CONNECTLY_TRACKING[{name!r}] names {status!r}, which is not in "
            "OSCAR_ORDER_STATUS_PIPELINE.",
            hint="Copy the status from there. It is case-sensitive.",
            id="connectly_tracking_oscar.W001",
        )
        for name, status in chosen
        if status not in known
    )
    return found


def _statuses() -> set[str]:
    pipeline = get_model("order", "Order").pipeline
    return {
        *pipeline,
        *(status for following in pipeline.values() for status in following),
    }
