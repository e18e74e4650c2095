"""Whether all is well: for monitors, for pages, and for whoever asks in the morning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.utils import timezone
from django.utils.translation import gettext as _

from ..conf import conf
from ..findings import Subject, found
from ..models import (
    Attribution,
    Circuit,
    Conversion,
    State,
)
from .delivery import (
    LATELY,
    backlogs,
    examine_delivery,
    given_up,
    last_delivered,
    orders,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from django.db.models import QuerySet

    from ..findings import Finding

#: Beside those for delivery: the settings with which orders are recorded and kept.
_ALSO_READ: Final = ("SEND", "BUSINESSES", "HOLD", "RETENTION", "RECORD_UNATTRIBUTED")


def health() -> dict[str, Any]:
    """Return whether all is well, and what waits.

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
    waiting = backlogs(using).values()
    ended = given_up(using, LATELY)
    paused = Circuit.objects.using(using).paused()
    return {
        "ok": not any(finding.is_problem for finding in findings),
        "findings": [finding.code for finding in findings if finding.level != "ok"],
        "waiting": sum(it.waiting for it in waiting),
        "due": sum(it.due for it in waiting),
        "oldest_due_seconds": seconds_since(_first(it.due_since for it in waiting)),
        "seconds_to_expiry": seconds_until(_first(it.expires_at for it in waiting)),
        "paused": sorted(paused.values_list("pk", flat=True)),
        "rejected_24h": _total(ended[State.REJECTED]),
        "expired_24h": _total(ended[State.EXPIRED]),
        **newest(),
    }


def settings_problem() -> str:
    """Return what is wrong in the settings with which orders are recorded, sent and
    kept; an empty string if nothing is.
    """
    try:
        conf.validate_for_delivery()
        for name in _ALSO_READ:
            getattr(conf, name)
    except ImproperlyConfigured as exc:
        return str(exc)
    return ""


def current_findings() -> list[Finding]:
    """Return what the doctor finds in our rows and in the settings for delivery."""
    return list(_current_findings())


def newest() -> dict[str, datetime | None]:
    """Return when the newest click, order and delivery were, as in `health`."""
    using = router.db_for_write(Conversion)
    return {
        "last_click_at": _newest(Attribution.objects.using(using), "captured_at"),
        "last_order_at": _newest(orders(using), "recorded_at"),
        "last_delivered_at": last_delivered(using),
    }


def _current_findings() -> Iterator[Finding]:
    if problem := settings_problem():
        yield found(Subject.SETTINGS, "settings_wrong", problem)
        return
    if not conf.SEND:
        text = _("SEND is False: orders are recorded as skipped, and nothing is sent.")
        yield found(Subject.SETTINGS, "sending_off", text)
    ready, aliases = [], list(conf.BUSINESSES)
    for alias in aliases:
        if problem := conf.credentials_problem(alias):
            text = _("Nothing is sent for %(business)s: %(why)s")
            text %= {"business": alias, "why": problem}
            yield found(Subject.SETTINGS, "business_not_ready", text, business=alias)
        else:
            ready.append(alias)
    using = router.db_for_write(Conversion)
    yield from examine_delivery(using, aliases=aliases, ready=ready, only=None)


def seconds_since(at: datetime | None) -> float | None:
    if at is None:
        return None
    return max((timezone.now() - at).total_seconds(), 0.0)


def seconds_until(at: datetime | None) -> float | None:
    if at is None:
        return None
    return max((at - timezone.now()).total_seconds(), 0.0)


def _first(times: Iterable[datetime | None]) -> datetime | None:
    return min((at for at in times if at is not None), default=None)


def _total(counts: dict[str, dict[str, int]]) -> int:
    return sum(sum(reasons.values()) for reasons in counts.values())


def _newest(rows: QuerySet[Any], column: str) -> datetime | None:
    newest: datetime | None = (
        rows.order_by(f"-{column}").values_list(column, flat=True).first()
    )
    return newest
