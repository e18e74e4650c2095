"""The request of a conversion as a command for a shell, without the key."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

from ..api.body import events_url
from ..conf import conf

if TYPE_CHECKING:
    from ..models import Conversion


def curl(conversion: Conversion) -> str:
    """Empty where there is nothing to send, or nowhere to send it to.

    The key is left to a variable of the shell's: nothing of it reaches a page.
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
