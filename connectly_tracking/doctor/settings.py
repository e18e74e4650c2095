"""Findings on the settings, the project, its sessions, and each business."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.checks import ERROR
from django.core.checks.registry import registry
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _

from ..api.secret import Secret
from ..conf import conf
from ..findings import Finding, Level, Subject, found, one_line
from .check import run_check, with_timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.core.checks import CheckMessage

    from ..conf import Business

KEY_LIMIT: Final = 5.0  # seconds, for a key that comes from a vault

_PACKAGE: Final = __name__.partition(".")[0]
#: The subjects of our system checks, if not the project. Those of the credentials are
#: left out, since the doctor examines each business.
_CHECKS: Final = {
    "check_settings": Subject.SETTINGS,
    "check_celery": Subject.CELERY,
    "check_credentials": None,
    "check_credentials_deployed": None,
}


def examine_settings() -> Iterator[Finding]:
    text = _("The settings are valid.")
    yield from system_checks(Subject.SETTINGS, "settings_ok", text)
    if not conf.SEND:
        text = _("SEND is False: orders are recorded as skipped, and nothing is sent.")
        yield found(Subject.SETTINGS, "sending_off", text)


def examine_project() -> list[Finding]:
    text = _("The middleware and the databases are set up correctly.")
    return system_checks(Subject.PROJECT, "project_ok", text)


def system_checks(subject: Subject, ok: str, text: str) -> list[Finding]:
    """Run our system checks of this subject. Without a message, return one finding:
    ``ok``, with this text.
    """
    findings: list[Finding] = []
    for check in registry.get_checks():
        is_ours = check.__module__.partition(".")[0] == _PACKAGE
        name = getattr(check, "__name__", "")
        if is_ours and _CHECKS.get(name, Subject.PROJECT) == subject:
            findings += run_check(subject, partial(_messages, subject, check))
    return findings or [found(subject, ok, text)]


def _messages(subject: Subject, check: Callable[..., Any]) -> Iterator[Finding]:
    messages: list[CheckMessage] = check(app_configs=None, databases=None)
    for message in messages:
        if not message.is_silenced():
            yield Finding(
                subject=subject,
                code=message.id or "",
                level=Level.ERROR if message.level >= ERROR else Level.WARNING,
                text=one_line(message.msg),
                remedy=one_line(message.hint or ""),
            )


def examine_sessions() -> list[Finding]:
    """Find the reasons why a session may no longer have its click at the order."""
    text = _("Sessions last as long as a click counts.")
    short = list(_short_sessions()) or [found(Subject.SESSIONS, "sessions_ok", text)]
    return [*short, *_separate_hosts()]


def _short_sessions() -> Iterator[Finding]:
    window, age = conf.ATTRIBUTION_WINDOW, settings.SESSION_COOKIE_AGE
    if window is None or age < window.total_seconds():
        text, seconds = (
            (
                _(
                    "Sessions end after %(age)s days, but a click counts for %(days)d "
                    "days."
                ),
                str(int(window.total_seconds())),
            )
            if window
            else (
                _("Sessions end after %(age)s days, but a click counts forever."),
                _("several years"),
            )
        )
        text %= {"age": f"{age / 86400:g}", "days": window.days if window else 0}
        yield found(Subject.SESSIONS, "session_short", text, seconds=seconds)
    if settings.SESSION_EXPIRE_AT_BROWSER_CLOSE:
        text = _("Sessions, and the clicks in them, end when the browser is closed.")
        yield found(Subject.SESSIONS, "session_ends_with_browser", text)
    if settings.SESSION_ENGINE == "django.contrib.sessions.backends.cache":
        text = _(
            "Sessions are kept in the cache only, which may drop them at any time."
        )
        yield found(Subject.SESSIONS, "session_in_cache", text)


def _separate_hosts() -> Iterator[Finding]:
    """Report each site that has several hosts, which do not share their cookies."""
    names = {name.lower().rstrip(".") for name in settings.ALLOWED_HOSTS}
    if settings.PREPEND_WWW:  # Django redirects the others, with the query string
        names = {name for name in names if name.startswith("www.")}
    shared = (settings.SESSION_COOKIE_DOMAIN or "").lower().lstrip(".")
    reported = [shared] if shared else []
    for site in sorted({_site_of(name) for name in names}, key=len):
        hosts = sorted(name for name in names if _is_within(name, site))
        is_several = len(hosts) > 1 or hosts[0].startswith(".")
        known = any(_is_within(site, other) for other in reported)
        if "." in site and is_several and not known:
            reported.append(site)
            yield found(
                Subject.SESSIONS,
                "session_per_host",
                _(
                    "Each host has its own session and its own cookie of the click, "
                    "but the shop has several hosts: %(hosts)s."
                )
                % {"hosts": ", ".join(hosts)},
                domain=site,
            )


def _site_of(host: str) -> str:
    return host.removeprefix(".").removeprefix("www.")


def _is_within(host: str, site: str) -> bool:
    return host == site or host.endswith(f".{site}")


def configured_aliases(only: str | None) -> list[str]:
    """Return the aliases in the settings; none if the settings are invalid."""
    try:
        aliases = list(conf.BUSINESSES)
    except ImproperlyConfigured:
        return []  # their own check reports it
    return [alias for alias in aliases if only in (None, alias)]


def examine_businesses(
    aliases: Sequence[str],
) -> tuple[list[Finding], list[Business]]:
    """Return the findings, and the businesses that have valid credentials."""
    findings, ready = [], []
    for alias in aliases:
        try:
            business = with_timeout(KEY_LIMIT, partial(conf.business, alias))
        except (ImproperlyConfigured, TimeoutError) as exc:
            text = _("Nothing is sent for %(business)s: %(why)s")
            text %= {"business": alias, "why": exc}
            findings.append(
                found(Subject.SETTINGS, "business_not_ready", text, business=alias)
            )
        else:
            ready.append(business)
            text = _("%(business)s: BUSINESS_ID is %(id)s, and API_KEY is set.")
            text %= {"business": alias, "id": business.business_id}
            findings.append(
                found(Subject.SETTINGS, "business_ready", text, business=alias)
            )
    return findings, ready


def known_secrets(ready: Sequence[Business]) -> list[Secret]:
    """Return every key that must not be printed, including invalid ones."""
    keys: list[object] = []
    with suppress(ImproperlyConfigured):
        keys.append(conf.raw.get("API_KEY"))
        keys += [entry.get("API_KEY") for entry in conf.BUSINESSES.values()]
    texts = {key.strip() for key in keys if isinstance(key, str)}
    return [business.api_key for business in ready] + [Secret(key) for key in texts]
