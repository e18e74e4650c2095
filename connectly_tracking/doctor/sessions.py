"""Whether a session lives as long as a click counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from ..conf import conf
from .finding import Subject, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Finding


def examine_sessions() -> Iterator[Finding]:
    findings = list(_faults())
    if findings:
        yield from findings
    else:
        text = "A session lives as long as a click counts."
        yield found(Subject.SESSIONS, "sessions_ok", text)


def _faults() -> Iterator[Finding]:
    window, age = conf.ATTRIBUTION_WINDOW, settings.SESSION_COOKIE_AGE
    if window is None or age < window.total_seconds():
        counts = f"{window.days} days" if window else "for good"
        seconds = int(window.total_seconds()) if window else "years"
        yield found(
            Subject.SESSIONS,
            "session_short",
            f"A session ends after {age / 86400:g} days, a click counts {counts}.",
            seconds=seconds,
        )
    if settings.SESSION_EXPIRE_AT_BROWSER_CLOSE:
        text = "A session, and the click in it, ends when the browser is closed."
        yield found(Subject.SESSIONS, "session_ends_with_browser", text)
    if settings.SESSION_ENGINE == "django.contrib.sessions.backends.cache":
        text = "Sessions are in the cache alone, which may drop them at any time."
        yield found(Subject.SESSIONS, "session_in_cache", text)
