"""The whole round, from the settings to the last answers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from .broker import current, examine_broker
from .businesses import aliases, examine_businesses, secrets
from .database import examine_database
from .delivery import examine_delivery
from .finding import Finding, Subject
from .guard import guarded
from .schedule import examine_schedule
from .sessions import examine_sessions
from .settings import examine_celery, examine_project, examine_settings
from .workers import examine_workers

if TYPE_CHECKING:
    from ..conf import Business

#: The system check's, for settings of Celery's that cannot be read.
UNREADABLE: Final = "connectly_tracking.W013"


def examine(only: str | None = None) -> tuple[list[Finding], list[Business]]:
    """What is found, and the businesses that can be sent for; of one, or of all."""
    names = aliases(only)
    credentials, ready = examine_businesses(names)
    rows = partial(
        examine_delivery,
        names=names,
        ready=[business.alias for business in ready],
        only=only,
    )
    findings = [
        *guarded(Subject.SETTINGS, examine_settings),
        *credentials,
        *guarded(Subject.PROJECT, examine_project),
        *guarded(Subject.SESSIONS, examine_sessions),
        *_round_of_celery(),
        *guarded(Subject.DATABASE, lambda: examine_database(rows)),
    ]
    order = list(Subject)
    findings.sort(key=lambda finding: order.index(finding.subject))
    hidden = secrets(ready)
    return [finding.masked(hidden) for finding in findings], ready


def _round_of_celery() -> list[Finding]:
    app, findings = current(), guarded(Subject.CELERY, examine_celery)
    if any(finding.code == UNREADABLE for finding in findings):
        return findings
    findings += guarded(Subject.CELERY, lambda: examine_schedule(app))
    broker = guarded(Subject.BROKER, lambda: examine_broker(app))
    findings += broker
    if any(finding.code == "broker_ok" for finding in broker):
        findings += guarded(Subject.WORKERS, lambda: examine_workers(app))
    return findings
