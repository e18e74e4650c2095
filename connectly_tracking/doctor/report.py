"""All checks, and their findings for a person or for a machine."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from ..conf import conf
from ..findings import Level, Subject
from ..reports.delivery import examine_delivery
from .celery import examine_celery
from .check import run_check
from .database import examine_database
from .settings import (
    configured_aliases,
    examine_businesses,
    examine_project,
    examine_sessions,
    examine_settings,
    known_secrets,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..conf import Business
    from ..findings import Finding

    Paint = Callable[[str], str]

_LEVELS: Final = {
    Level.OK: gettext_lazy("ok"),
    Level.NOTE: gettext_lazy("note"),
    Level.WARNING: gettext_lazy("warning"),
    Level.ERROR: gettext_lazy("error"),
}
_SUBJECTS: Final = {
    Subject.SETTINGS: gettext_lazy("settings"),
    Subject.PROJECT: gettext_lazy("project"),
    Subject.SESSIONS: gettext_lazy("sessions"),
    Subject.DATABASE: gettext_lazy("database"),
    Subject.CELERY: "celery",
    Subject.BROKER: gettext_lazy("broker"),
    Subject.WORKERS: gettext_lazy("workers"),
    Subject.DELIVERY: gettext_lazy("delivery"),
    Subject.API: "api",
}
_COUNTS: Final = {
    Level.NOTE: ngettext_lazy("%(count)d note", "%(count)d notes", "count"),
    Level.WARNING: ngettext_lazy("%(count)d warning", "%(count)d warnings", "count"),
    Level.ERROR: ngettext_lazy("%(count)d error", "%(count)d errors", "count"),
}
#: Notes ask for nothing.
EXIT_STATUS: Final = {Level.OK: 0, Level.NOTE: 0, Level.WARNING: 1, Level.ERROR: 2}


def examine(only: str | None = None) -> tuple[list[Finding], list[Business]]:
    """Return the findings, and the businesses that events can be sent for.

    Of the business ``only``, or of all.
    """
    aliases = configured_aliases(only)
    credentials, ready = examine_businesses(aliases)
    delivery = partial(
        examine_delivery,
        aliases=aliases,
        ready=[business.alias for business in ready] if _can_deliver() else [],
        only=only,
    )
    findings = [
        *run_check(Subject.SETTINGS, examine_settings),
        *credentials,
        *run_check(Subject.PROJECT, examine_project),
        *run_check(Subject.SESSIONS, examine_sessions),
        *run_check(Subject.DATABASE, partial(examine_database, delivery)),
        *examine_celery(),
    ]
    order = list(Subject)
    findings.sort(key=lambda finding: order.index(finding.subject))
    secrets = known_secrets(ready)
    return [finding.masked(secrets) for finding in findings], ready


def _can_deliver() -> bool:
    """Whether no setting stops the workers; the check of the settings reports it."""
    try:
        conf.validate_for_delivery()
    except ImproperlyConfigured:
        return False
    return True


def exit_status(findings: Sequence[Finding]) -> int:
    return EXIT_STATUS[_worst(findings)]


def as_json(findings: Sequence[Finding]) -> str:
    """Return it for a machine: all but the texts is the same in every language."""
    report = {
        "level": str(_worst(findings)),
        "findings": [asdict(finding) for finding in findings],
    }
    return json.dumps(report, indent=2)


def as_lines(
    findings: Sequence[Finding], paint: Mapping[Level, Paint] | None = None
) -> Iterator[str]:
    """Yield a line for each finding, by subject, with its remedy below."""
    paint = paint or {}
    width = max(len(str(name)) for name in _LEVELS.values())
    for subject, group in groupby(findings, lambda finding: finding.subject):
        yield str(_SUBJECTS[subject])
        for finding in group:
            level = paint.get(finding.level, str)(
                str(_LEVELS[finding.level]).ljust(width)
            )
            code = f" [{finding.code}]" if finding.level != Level.OK else ""
            yield f"  {level}  {finding.text}{code}"
            if finding.remedy:
                yield f"{'':<{width + 4}}→ {finding.remedy}"
    yield _summary(findings)


def _summary(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.level for finding in findings)
    parts = [
        _COUNTS[level] % {"count": count}
        for level in reversed(Level)
        if level != Level.OK and (count := counts[level])
    ]
    return ", ".join(parts) or _("All is well.")


def _worst(findings: Sequence[Finding]) -> Level:
    levels = {finding.level for finding in findings}
    return next((level for level in reversed(Level) if level in levels), Level.OK)
