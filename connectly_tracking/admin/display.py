"""How the pages show a state, an id, a time and a request."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from ..api.body import events_url
from ..conf import conf
from ..models import DeliveryAttempt, zoned_text

if TYPE_CHECKING:
    from datetime import datetime

    from django.utils.safestring import SafeString
    from django_stubs_ext import StrOrPromise

    from ..models import Conversion


@admin.display(description=_("state"))
def badge(conversion: Conversion) -> SafeString:
    """Return the state as a word on a colour; the word alone says it all."""
    return format_html(
        '<span class="connectly-badge connectly-{}">{}</span>',
        conversion.state,
        conversion.get_state_display(),
    )


def campaign_id(value: str) -> StrOrPromise:
    return _shortened("connectly-id", value)


def ad_id(value: str) -> StrOrPromise:
    """Return an ad's id. Those of one account begin alike, so the end is shown."""
    return _shortened("connectly-id connectly-ad", value)


def _shortened(style: str, value: str) -> StrOrPromise:
    """Return the whole id, which the style sheet shortens on the screen."""
    if not value:
        return "-"
    found = '<span class="{}" title="{}"><bdi>{}</bdi></span>'
    return format_html(found, style, value, value)


def clock(at: datetime | None) -> StrOrPromise:
    """Return a time with its zone: the pages have no other format."""
    if at is None:
        return "-"
    exact = at if timezone.is_aware(at) else timezone.make_aware(at)
    found = '<time class="connectly-time" datetime="{}">{}</time>'
    return format_html(found, exact.isoformat(timespec="seconds"), zoned_text(at))


def curl(conversion: Conversion) -> str:
    """Return the request as a shell command; empty if it cannot be sent.

    The API key is a variable of the shell: it never reaches a page.
    """
    if not conversion.body:
        return ""
    try:
        url = events_url(conf.BASE_URL, conf.business_id(conversion.business))
    except ImproperlyConfigured:
        return ""
    return " \\\n  ".join(
        [
            f"curl -X POST {shlex.quote(url)}",
            '-H "X-API-KEY: $CONNECTLY_API_KEY"',
            "-H 'Content-Type: application/json'",
            f"--data-raw {shlex.quote(conversion.body)}",
        ]
    )


def for_support(conversion: Conversion) -> str:
    """Return what Connectly's support needs to find the last request: in English, and
    without the API key. Empty if there was no request.
    """
    written = conversion.delivery_attempts.order_by("-started_at")
    attempt = DeliveryAttempt.under_way(conversion) or written.first()
    if attempt is None or not conversion.body:
        return ""
    try:
        url = events_url(conf.BASE_URL, conf.business_id(conversion.business))
    except ImproperlyConfigured:
        return ""
    answered = attempt.finished_at
    return "\n".join(
        [
            f"Request: POST {url}",
            f"Sent: {_exact(attempt.started_at)}",
            f"Answered: {_exact(answered) if answered else 'no answer recorded'}",
            f"Attempts: {conversion.attempts}",
            f"Status: {attempt.status_code or '-'} ({attempt.outcome})",
            f"Body: {conversion.body}",
            f"Answer and trace ids: {attempt.detail or '-'}",
        ]
    )


def _exact(at: datetime) -> str:
    aware = at if timezone.is_aware(at) else timezone.make_aware(at)
    return aware.isoformat(timespec="milliseconds")
