"""The click that this browser holds: in its session, in our cookie, or in both.

A session may go on with a click that was erased elsewhere, which is noted beside the
orders' bindings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import router

from ..conf import conf
from ..models import OrderAttribution, key_of
from . import session
from .clicks import stored_clicks
from .cookie import note_no_cookie, read_cookie
from .session import SessionClick

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from django.http import HttpRequest


def held_click(request: HttpRequest) -> SessionClick | None:
    """Return the browser's click, or None. Raises database errors.

    One query if the cookie names a click that the session does not have.
    """
    in_session = session.read_click(request)
    known = in_session.id if in_session else None
    click_id = read_cookie(request, known=known)
    if click_id in {None, known}:
        return in_session
    row = stored_clicks().filter(pk=click_id).first()
    if row is None:  # erased or pruned
        note_no_cookie(request)
        return in_session
    in_cookie = SessionClick(
        id=row.pk,
        captured_at=row.captured_at.timestamp(),
        business=row.business,
        landing=row.landing,
        digest=session.digest_of(row.landing),
        reportable=row.reportable,
        has_row=True,
        rows=in_session.rows if in_session else 0,
    )
    if in_session is None:
        return in_cookie
    older, newer = sorted((in_session, in_cookie), key=lambda click: click.captured_at)
    return older if stays(older, newer) else newer


def holds_click(request: HttpRequest) -> bool:
    """Whether there may be a click. No query, if the session is loaded."""
    in_session = session.read_click(request)
    return in_session is not None or read_cookie(request) is not None


def is_erased(click_id: UUID) -> bool:
    """Whether the click was erased. One query."""
    using = router.db_for_write(OrderAttribution)
    bindings = OrderAttribution.with_erased.using(using)
    return bindings.filter(key=erased_key(click_id)).exists()


def erased_key(click_id: UUID) -> str:
    """Return the key of the note that it was erased. No order's id has a line break."""
    return key_of(f"erased\n{click_id.hex}")


def note_erased(click_ids: Iterable[UUID]) -> None:
    """Let no session go on with these clicks."""
    using = router.db_for_write(OrderAttribution)
    OrderAttribution.with_erased.using(using).bulk_create(
        [OrderAttribution(business="", key=erased_key(pk)) for pk in click_ids],
        ignore_conflicts=True,
    )


def drop_if_erased(request: HttpRequest, click: SessionClick) -> bool:
    """Take an erased click out of the session and the cookie. Return whether it was.

    One query, unless the session has only the click's id: then its row has the values.
    """
    if click.landing is None or not is_erased(click.id):
        return False
    drop_held(request)
    return True


def drop_held(request: HttpRequest) -> None:
    """Take the click out of the session and the cookie."""
    session.drop_click(request)
    note_no_cookie(request)


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
