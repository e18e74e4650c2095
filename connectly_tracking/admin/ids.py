"""Ids as long as Meta's and Connectly's: whole in the page, and cut by its style."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.html import format_html

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


def campaign_id(value: str) -> StrOrPromise:
    return _cut("connectly-id", value)


def ad_id(value: str) -> StrOrPromise:
    """Those of one account begin alike, so that the end is shown."""
    return _cut("connectly-id connectly-ad", value)


def _cut(style: str, value: str) -> StrOrPromise:
    if not value:
        return "-"
    found = '<span class="{}" title="{}"><bdi>{}</bdi></span>'
    return format_html(found, style, value, value)
