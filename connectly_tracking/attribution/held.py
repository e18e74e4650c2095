"""The click that this browser holds: in its session, in our cookie, or in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..conf import conf
from . import session
from .clicks import stored_clicks
from .cookie import read_cookie
from .session import SessionClick

if TYPE_CHECKING:
    from django.http import HttpRequest


def held_click(request: HttpRequest) -> SessionClick | None:
    """Return the browser's click, or None. Raises database errors.

    One query if the cookie names a click that the session does not have.
    """
    in_session = session.read_click(request)
    click_id = read_cookie(request)
    if click_id is None or (in_session is not None and in_session.id == click_id):
        return in_session
    row = stored_clicks().filter(pk=click_id).first()
    if row is None:  # erased or pruned
        return in_session
    in_cookie = SessionClick(
        id=row.pk,
        captured_at=row.captured_at.timestamp(),
        business=row.business,
        landing=row.landing,
        digest=session.digest_of(row.landing),
        reportable=row.reportable,
        has_row=True,
    )
    if in_session is None:
        return in_cookie
    older, newer = sorted((in_session, in_cookie), key=lambda click: click.captured_at)
    return older if stays(older, newer) else newer


def holds_click(request: HttpRequest) -> bool:
    """Whether there may be a click. No query, if the session is loaded."""
    in_session = session.read_click(request)
    return in_session is not None or read_cookie(request) is not None


def stays(before: SessionClick, after: SessionClick) -> bool:
    """Whether the click is still the one to credit after this later one."""
    if not before.reportable:
        return False
    if not after.reportable:
        return True
    return conf.ATTRIBUTION_TOUCH == "first" and is_in_window(
        before, at=after.captured_at
    )


def is_in_window(click: SessionClick, *, at: float) -> bool:
    """Whether an order at that time, in Unix seconds, may be credited to the click."""
    window = conf.ATTRIBUTION_WINDOW
    return window is None or at - click.captured_at <= window.total_seconds()
