"""One thing that was found, and how bad it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from .catalogue import CATALOGUE, Level

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..api.secret import Secret

__all__ = ["Finding", "Level", "Subject", "found", "one_line", "worst"]

MAX_WORDS: Final = 300  # characters of somebody else's words


class Subject(StrEnum):
    """What a finding is about; the order of the report."""

    SETTINGS = "settings"
    PROJECT = "project"
    SESSIONS = "sessions"
    DATABASE = "database"
    CELERY = "celery"
    BROKER = "broker"
    WORKERS = "workers"
    DELIVERY = "delivery"
    API = "api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``code`` holds still between versions; ``remedy`` is empty where all is well."""

    subject: Subject
    code: str
    level: Level
    text: str
    remedy: str = ""

    def masked(self, secrets: Iterable[Secret]) -> Finding:
        """Without what must not be seen, wherever it came from."""
        text, remedy = self.text, self.remedy
        for secret in secrets:
            text, remedy = secret.mask(text), secret.mask(remedy)
        return replace(self, text=text, remedy=remedy)

    def as_dict(self) -> dict[str, str]:
        return {name: str(value) for name, value in asdict(self).items()}


def found(subject: Subject, code: str, text: str, **details: object) -> Finding:
    """One of the catalogue's; ``details`` complete its remedy."""
    entry = CATALOGUE[code]
    return Finding(
        subject=subject,
        code=code,
        level=entry.level,
        text=text,
        remedy=entry.remedy.format(**details) if details else entry.remedy,
    )


def worst(findings: Iterable[Finding]) -> Level:
    order = list(Level)
    levels = [finding.level for finding in findings]
    return max(levels, key=order.index, default=Level.OK)


def one_line(words: object) -> str:
    """Somebody else's words, made fit for a line."""
    text = " ".join(str(words).split())
    return text if len(text) <= MAX_WORDS else f"{text[: MAX_WORDS - 1]}…"
