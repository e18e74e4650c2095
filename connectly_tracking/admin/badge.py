"""A state as a word on a ground of its own; the word alone would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.html import format_html

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    from ..models import Conversion


def badge(conversion: Conversion) -> SafeString:
    return format_html(
        '<span class="connectly-badge connectly-{}">{}</span>',
        conversion.state,
        conversion.get_state_display(),
    )
