"""Whether all is well: for monitors, for pages, and for whoever asks in the morning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.db.models import Count, Min
from django.utils import timezone
from django.utils.translation import gettext as _

from ..conf import conf
from ..findings import Subject, found
from ..models import (
    Attribution,
    Circuit,
    Conversion,
    DbNow,
    State,
    age_field,
    greatest_age,
)
from .delivery import LATELY, examine_delivery, given_up, last_delivered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ..findings import Finding


def health() -> dict[str, Any]:
    """Return what a monitor asks for.

    ``ok``: whether there is no warning and no error. ``findings``: the codes of the
    doctor, without those that say that all is well. ``waiting``: orders that are not
    final; ``due``: those that could be sent now, ``oldest_due_seconds`` for how long.
    ``seconds_to_expiry``: until the oldest waiting order is too old. ``paused``: the
    aliases of the paused businesses. ``rejected_24h`` and ``expired_24h``: orders that
    ended so in the last 24 hours. ``last_click_at``, ``last_order_at`` and
    ``last_delivered_at``: datetimes. Whatever there is none of is None.

    It asks only the database: no API, no broker, no callable API_KEY.
    """
    using = router.db_for_write(Conversion)
    findings = current_findings()
    rows = Conversion.objects.using(using).order_by()
    waiting = rows.filter(due_at__isnull=False).aggregate(
        count=Count("pk"), oldest=Min(age_field())
    )
    due = rows.filter(due_at__lte=DbNow()).aggregate(
        count=Count("pk"), since=Min("due_at")
    )
    paused = Circuit.objects.using(using).paused()
    return {
        "ok": not any(finding.is_problem for finding in findings),
        "findings": [finding.code for finding in findings if finding.level != "ok"],
        "waiting": waiting["count"],
        "due": due["count"],
        "oldest_due_seconds": _seconds_since(due["since"]),
        "seconds_to_expiry": _seconds_to_expiry(waiting["oldest"]),
        "paused": sorted(paused.values_list("pk", flat=True)),
        "rejected_24h": _total(given_up(using, State.REJECTED, LATELY)),
        "expired_24h": _total(given_up(using, State.EXPIRED, LATELY)),
        **newest(),
    }


def current_findings() -> list[Finding]:
    """Return what the doctor finds in our rows and in the settings for delivery."""
    return list(_current_findings())


def newest() -> dict[str, datetime | None]:
    """Return when the newest click, order and delivery were, as in `health`."""
    return {
        "last_click_at": _newest(Attribution, "captured_at"),
        "last_order_at": _newest(Conversion, "recorded_at"),
        "last_delivered_at": last_delivered(router.db_for_write(Conversion)),
    }


def _current_findings() -> Iterator[Finding]:
    try:
        conf.validate_for_delivery()
        sends, aliases = conf.SEND, list(conf.BUSINESSES)
    except ImproperlyConfigured as exc:
        yield found(Subject.SETTINGS, "settings_wrong", str(exc))
        return
    if not sends:
        text = _("SEND is False: orders are recorded as skipped, and nothing is sent.")
        yield found(Subject.SETTINGS, "sending_off", text)
    ready = []
    for alias in aliases:
        if problem := conf.credentials_problem(alias):
            text = _("Nothing is sent for %(business)s: %(why)s")
            text %= {"business": alias, "why": problem}
            yield found(Subject.SETTINGS, "business_not_ready", text, business=alias)
        else:
            ready.append(alias)
    using = router.db_for_write(Conversion)
    yield from examine_delivery(using, aliases=aliases, ready=ready, only=None)


def _seconds_since(at: datetime | None) -> float | None:
    if at is None:
        return None
    return max((timezone.now() - at).total_seconds(), 0.0)


def _seconds_to_expiry(oldest: datetime | None) -> float | None:
    if oldest is None:
        return None
    return max((oldest + greatest_age() - timezone.now()).total_seconds(), 0.0)


def _total(counts: dict[str, dict[str, int]]) -> int:
    return sum(sum(reasons.values()) for reasons in counts.values())


def _newest(model: type[Attribution | Conversion], column: str) -> datetime | None:
    rows: Any = model._default_manager.using(router.db_for_write(model))
    newest: datetime | None = (
        rows.order_by(f"-{column}").values_list(column, flat=True).first()
    )
    return newest
