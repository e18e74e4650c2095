"""The findings for a person, and for a machine."""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Final

from .finding import Level, worst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .finding import Finding

    Paint = Callable[[str], str]

#: Notes ask for nothing.
EXIT_STATUS: Final = {Level.OK: 0, Level.NOTE: 0, Level.WARNING: 1, Level.ERROR: 2}


def exit_status(findings: Sequence[Finding]) -> int:
    return EXIT_STATUS[worst(findings)]


def as_json(findings: Sequence[Finding]) -> str:
    return json.dumps(
        {
            "level": str(worst(findings)),
            "findings": [finding.as_dict() for finding in findings],
        },
        indent=2,
    )


def as_lines(
    findings: Sequence[Finding], paint: Mapping[Level, Paint] | None = None
) -> Iterator[str]:
    """One line for each, by subject, with what to do below what is not well."""
    paint = paint or {}
    for subject, group in groupby(findings, lambda finding: finding.subject):
        yield str(subject)
        for finding in group:
            level = f"{finding.level:<7}"
            painted = paint.get(finding.level, str)(level)
            code = f" [{finding.code}]" if finding.level != Level.OK else ""
            yield f"  {painted}  {finding.text}{code}"
            if finding.remedy:
                yield f"           → {finding.remedy}"
    yield _summary(findings)


def _summary(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.level for finding in findings)
    parts = [
        f"{count} {level}{'s' * (count > 1)}"
        for level in reversed(Level)
        if level != Level.OK and (count := counts[level])
    ]
    return ", ".join(parts) or "All is well."
