"""What ``manage.py check`` says of us, as findings."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.core.checks import ERROR, WARNING
from django.core.checks.registry import registry

from ..conf import conf
from .finding import Finding, Level, Subject, found, one_line
from .guard import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.core.checks import CheckMessage

_PACKAGE: Final = __name__.partition(".")[0]
_ALL_WELL: Final = {
    Subject.SETTINGS: ("settings_ok", "The settings are valid."),
    Subject.PROJECT: (
        "project_ok",
        "The middleware is in its place, and our tables are where they should be.",
    ),
    Subject.CELERY: ("celery_ok", "The system checks find no fault with Celery."),
}


def examine_settings() -> Iterator[Finding]:
    yield from _checked(Subject.SETTINGS, "settings")
    if not conf.SEND:
        text = "SEND is False: what is recorded now is skipped, and nothing is sent."
        yield found(Subject.SETTINGS, "sending_off", text)


def examine_project() -> Iterator[Finding]:
    yield from _checked(Subject.PROJECT, "project", "contrib")


def examine_celery() -> Iterator[Finding]:
    yield from _checked(Subject.CELERY, "celery")


def _checked(subject: Subject, *names: str) -> Iterable[Finding]:
    """What our own system checks of those modules say.

    Those of the credentials are left out: each business is asked for its own, a key
    from a vault included.
    """
    findings: list[Finding] = []
    for check in registry.get_checks():
        path = check.__module__.split(".")
        if path[0] == _PACKAGE and {*path} & {*names}:
            findings += guarded(subject, partial(_findings, subject, check))
    code, text = _ALL_WELL[subject]
    return findings or [found(subject, code, text)]


def _findings(subject: Subject, check: Callable[..., Any]) -> Iterator[Finding]:
    messages: Iterable[CheckMessage] = check(app_configs=None, databases=None)
    for message in messages:
        if not message.is_silenced():
            yield Finding(
                subject=subject,
                code=message.id or "",
                level=_level(message),
                text=one_line(message.msg),
                remedy=one_line(message.hint or ""),
            )


def _level(message: CheckMessage) -> Level:
    if message.level >= ERROR:
        return Level.ERROR
    return Level.WARNING if message.level >= WARNING else Level.NOTE
