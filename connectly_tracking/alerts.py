"""Tells whoever is responsible once when something is wrong, and once when it is over.

A row for each finding says what was told, so that two runs at once tell nothing twice,
and what could not be told is tried again by the next run.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from django.core.mail import mail_admins
from django.db import router
from django.db.models import Q
from django.utils.translation import gettext as _

from .conf import MAIL_ADMINS, conf
from .findings import CATALOGUE, Finding, Level, Subject, one_line
from .models import Alert, DbNow
from .reports.delivery import is_still_away
from .reports.health import current_findings
from .signals import alert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from .models.alert import AlertQuerySet

#: They come and go with single answers; `failing` is told if that lasts.
NEVER_TOLD: Final = frozenset({"behind", "last_answer_bad"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Finding):
    """A finding that is told. ``is_over``: it was told before, and has ended."""

    since: datetime
    is_over: bool

    @property
    def subject_line(self) -> str:
        """As the subject of a mail."""
        text = one_line(self.text)
        if self.is_over:
            return _("[Connectly] Resolved: %(finding)s") % {"finding": text}
        return f"[Connectly] {text}"

    @property
    def message(self) -> str:
        """As the text of a mail."""
        if self.is_over:
            return _("Resolved: %(finding)s") % {"finding": self.text}
        return f"{self.text}\n\n{self.remedy}".strip()


def watch(*, on_untold: Callable[[Notice], None] | None = None) -> list[Notice]:
    """Tell what has begun or ended since the last run. Returns what was told.

    ``on_untold`` is called with what ALERTS failed to tell; the next run tries again.
    """
    using = router.db_for_write(Alert)
    alerts = Alert.objects.using(using)
    found = {
        f"{finding.code}:{finding.business}": finding
        for finding in current_findings()
        if finding.is_problem and finding.code not in NEVER_TOLD
    }
    for key, finding in found.items():
        alerts.begin(
            key, code=finding.code, business=finding.business, detail=finding.text
        )
    alerts.filter(key__in=found).exclude(ended_at=None).update(ended_at=None)
    over = _over(alerts, found).filter(ended_at=None)
    for row in over:
        if is_still_away(using, row.code, row.detail):
            row.delete()  # after a week it is no problem any more, and not resolved
    over.update(ended_at=DbNow())
    alerts.filter(told_at=None).exclude(ended_at=None).delete()

    told = []
    for is_over, rows in ((False, alerts.untold()), (True, alerts.ending())):
        for row in list(rows):
            if not rows.claim(row.key):
                continue  # another run tells it, or has told it since
            finding = found.get(row.key) or _finding_of(row)
            notice = Notice(**asdict(finding), since=row.since, is_over=is_over)
            this = alerts.filter(key=row.key)
            if not _tell(notice):
                this.update(claimed_until=None)
                if on_untold is not None:
                    on_untold(notice)
                continue
            told.append(notice)
            if is_over:
                this.filter(ended_at=row.ended_at).delete()
            else:
                this.update(told_at=DbNow(), claimed_until=None)
    return told


def _over(alerts: AlertQuerySet, found: Mapping[str, Finding]) -> AlertQuerySet:
    """Return those that are neither found nor hidden by what is found.

    A wrong setting hides all others, a pause orders that keep failing and its other
    reasons. That no worker is sending is hidden if nothing may be sent.
    """
    if any(it.code == "settings_wrong" for it in found.values()):
        return alerts.none()
    paused = [it.business for it in found.values() if it.code.startswith("paused_")]
    by_pause = Q(code="failing") | Q(code__startswith="paused_")
    over = alerts.exclude(key__in=found).exclude(by_pause, business__in=paused)
    if not conf.SEND:
        return over.exclude(code="nobody_looks")
    idle = {"paused_by_hand", "business_not_ready", "business_forgotten"}
    unsent = [it.business for it in found.values() if it.code in idle]
    return over.exclude(code="nobody_looks", business__in=unsent)


def _tell(notice: Notice) -> bool:
    """Return whether it was told. One that fails does not stop the others."""
    level = logging.INFO if notice.is_over else logging.WARNING
    logger.log(
        level,
        "alert code=%s business=%s over=%s",
        notice.code,
        notice.business or "-",
        notice.is_over,
    )
    try:
        listener = conf.ALERTS
        if callable(listener):
            listener(notice)
        elif listener == MAIL_ADMINS:
            mail_admins(notice.subject_line, notice.message)
    except Exception as exc:  # noqa: BLE001 - the shop's own code, or a mail server
        logger.error("alert_not_told code=%s error=%s", notice.code, type(exc).__name__)
        return False
    alert.send_robust(Alert, finding=notice)
    return True


def _finding_of(row: Alert) -> Finding:
    """What has ended is not found any more; the row has its words.

    Its code may be of another version.
    """
    level, remedy = CATALOGUE.get(row.code, (Level.WARNING, ""))
    return Finding(
        subject=Subject.DELIVERY,
        code=row.code,
        level=level,
        text=row.detail,
        remedy=str(remedy),
        business=row.business,
    )
