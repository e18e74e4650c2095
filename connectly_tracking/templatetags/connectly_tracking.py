from __future__ import annotations

from typing import TYPE_CHECKING

from django import template
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString

from ..guard import guarded
from ..models import Circuit
from ..remedies import pause_banner

if TYPE_CHECKING:
    from django.template import Context

register = template.Library()


@register.simple_tag(takes_context=True)
def connectly_capture(context: Context, endpoint: str = "") -> SafeString:
    """Render the script that reports a landing, for pages from a cache or a CDN.

    ``endpoint`` is the full URL of the capture endpoint if the page is served from
    another host. By default it is the URL in ``connectly_tracking.urls``. An error is
    logged, and leaves the script out; under ``STRICT`` it is raised.
    """
    script = guarded(
        "script_not_rendered",
        lambda: _script(context, endpoint),
        savepoint="none",
        strict=Exception,
    )
    return script or SafeString("")


def _script(context: Context, endpoint: str) -> SafeString:
    source = static("connectly_tracking/capture.js")
    # Escaped here, since a literal in a template is marked as safe.
    url = escape(endpoint) if endpoint else reverse("connectly_tracking:capture")
    nonce = _nonce(context)
    if nonce is not None:
        return format_html(
            '<script src="{}" data-endpoint="{}" nonce="{}" defer></script>',
            source,
            url,
            nonce,
        )
    return format_html(
        '<script src="{}" data-endpoint="{}" defer></script>', source, url
    )


@register.simple_tag
def connectly_paused() -> list[str]:
    """Return a sentence for each business that is paused, for the admin's index.

    None before our tables are there: the index is the whole project's.
    """
    paused = guarded("pauses_not_read", lambda: list(Circuit.objects.paused()))
    return [pause_banner(circuit) for circuit in paused or []]


def _nonce(context: Context) -> str | None:
    """The nonce of Django's content security policy, or of django-csp.

    It is made when it is first used, and false before that.
    """
    nonce = context.get("csp_nonce")
    if nonce is None:
        nonce = getattr(context.get("request"), "csp_nonce", None)
    return None if nonce is None else str(nonce) or None
