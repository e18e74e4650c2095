"""The click that this browser holds: in its session, in our cookie, or in both.

Also the user whose session it is. A session may go on with a click that was erased
elsewhere, which is noted beside the orders' bindings.
"""

from __future__ import annotations

import hashlib
import logging
import time
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.conf import settings
from django.contrib.auth import SESSION_KEY as AUTH_SESSION_KEY
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends import signed_cookies
from django.db import connections, router, transaction

from ..api.landing import PARAMETERS, Landing
from ..conf import conf
from ..guard import savepoint, tolerated
from ..models import Attribution, OrderAttribution, key_of, moment
from .clicks import store_click, stored_clicks, user_key
from .cookie import (
    note_cookie,
    note_no_cookie,
    read_cookie,
    unwrapped,
    uses_cookie,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.sessions.backends.base import SessionBase
    from django.http import HttpRequest

KEY: Final = "connectly_tracking"
#: Characters of values in a session. A signed cookie holds 4 KB with the cart and the
#: login, and a browser drops a larger one.
MAX_IN_SESSION: Final = 1536
_MAX_COOKIE: Final = 4096  # bytes of name and value; RFC 6265bis
#: Clicks after the first one, with ATTRIBUTION_TOUCH = "first".
MAX_LATER: Final = 10
#: The request's attribute: a copy of its session, after the key of both.
_COPY: Final = "_connectly_session"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SessionClick:
    """A click in the session. ``captured_at`` is in Unix seconds.

    ``landing`` is None if the values are too long; then only the row has them.
    ``has_row``: the row is written. ``awaits_consent``: the visitor was not asked yet,
    so no row may be written. ``lesser_digest`` is that of a later, worse click, which
    has a row but did not replace this one. ``page`` is that of a click without a row.
    ``rows``: how many rows the landings of this session have written. ``later``: clicks
    that have a row, and count once this one is too old.
    """

    id: UUID
    captured_at: float
    business: str
    landing: Landing | None
    digest: str
    reportable: bool
    has_row: bool
    awaits_consent: bool = False
    lesser_digest: str = ""
    page: str = ""
    rows: int = 0
    later: tuple[UUID, ...] = ()


def digest_of(landing: Landing) -> str:
    """Return the same text for equal landings, without their values."""
    return hashlib.sha256("\n".join(landing.values).encode()).hexdigest()[:32]


def read_click(request: HttpRequest) -> SessionClick | None:
    """Return the session's click, as `write_click` put it there.

    None without one, if another version or app wrote it, or if the session store is
    down.
    """
    entry = _session_value(request, KEY)
    match entry:
        case {
            "v": 1,
            "id": str(hex_id),
            "at": float() | int() as captured_at,
            "business": str(business),
            "digest": str(digest),
            "reportable": bool(reportable),
            "stored": bool(has_row),
        }:
            values, rows = entry.get("values"), entry.get("rows")
            later = entry.get("later", [])
        case _:
            return None
    try:
        identity = UUID(hex_id)
        landing = None
        if values is not None:
            "".join(values)  # raises unless all are strings
            landing = Landing(**dict(zip(PARAMETERS, values, strict=True)))
        later_ids = tuple(UUID(str(each)) for each in later)
    except (ValueError, TypeError):
        return None
    return SessionClick(
        id=identity,
        captured_at=captured_at,
        business=business,
        landing=landing,
        digest=digest,
        reportable=reportable,
        has_row=has_row,
        awaits_consent=entry.get("pending") is True,
        lesser_digest=str(entry.get("passed_over", "")),
        page=str(entry.get("page", "")),
        rows=rows if isinstance(rows, int) else 0,
        later=later_ids,
    )


def write_click(request: HttpRequest, click: SessionClick) -> bool:
    """Put a click into the session. Return whether it is there.

    It is left out if a new session could replace the visitor's, or if a signed cookie
    carries it already or would become too long.
    """
    session = getattr(request, "session", None)
    if session is None:
        return False
    entry: dict[str, Any] = {
        "v": 1,
        "id": click.id.hex,
        "at": click.captured_at,
        "business": click.business,
        "digest": click.digest,
        "reportable": click.reportable,
        "stored": click.has_row,
    }
    if click.landing is not None:
        entry["values"] = list(click.landing.values)
    if click.awaits_consent:
        entry["pending"] = True
    if click.lesser_digest:
        entry["passed_over"] = click.lesser_digest
    if click.page and not click.has_row:
        entry["page"] = click.page
    if click.rows:
        entry["rows"] = click.rows
    if click.later:
        entry["later"] = [each.hex for each in click.later]
    with tolerated("session_not_written", logging.WARNING):
        in_cookie = click.has_row and not click.later
        return _put(request, session, entry, in_cookie=in_cookie)
    return False


def drop_click(request: HttpRequest) -> None:
    """Take the click out of the session; a session without one is left alone."""
    session = getattr(request, "session", None)
    with tolerated("session_not_written", logging.WARNING):
        if session is not None and _session_value(request, KEY) is not None:
            _put(request, session, None, in_cookie=False)


def user_id_of(request: HttpRequest) -> Any:
    """Return the logged-in visitor's primary key without a query, or None."""
    value = _session_value(request, AUTH_SESSION_KEY)
    with tolerated("session_not_read", logging.WARNING):
        return None if value is None else get_user_model()._meta.pk.to_python(value)


def visitor_id_of(request: HttpRequest) -> Any:
    """As `user_id_of`, but also of a user whom the view has authenticated by itself."""
    user_id = user_id_of(request)
    if user_id is None:
        with tolerated("user_not_read", logging.WARNING):
            return user_key(getattr(getattr(request, "user", None), "pk", None))
    return user_id


def load_attribution(request: HttpRequest, click: SessionClick) -> Attribution | None:
    """Return the click as a model; one query if the session lacks its values.

    One that has no row yet belongs to the logged-in visitor.
    """
    if click.landing is None:
        return stored_clicks().filter(pk=click.id).first()
    attribution = Attribution.from_landing(
        click.landing,
        id=click.id,
        business=click.business,
        captured_at=moment(click.captured_at),
        page=click.page,
        user_id=None if click.has_row else user_id_of(request),
    )
    attribution._state.adding = not click.has_row
    return attribution


def store_from_session(request: HttpRequest, click: SessionClick) -> Attribution | None:
    """As `load_attribution`, and write a row that is missing and may be written."""
    attribution = load_attribution(request, click)
    if attribution is None or click.awaits_consent:
        return attribution
    # The note of an erased click is pruned once no order could use the click.
    may_count = is_in_window(click, at=time.time())
    if not click.has_row or (may_count and is_gone(click)):
        attribution.user_id = attribution.user_id or user_id_of(request)
        store_click(attribution)
        note_cookie(request, click.id)
        note_stored(request, replace(click, has_row=True))
    return attribution


def note_stored(request: HttpRequest, click: SessionClick) -> None:
    """Put a click whose row was written into the session, once the row is certain.

    A session does not roll back with the transaction.
    """
    using = router.db_for_write(Attribution)

    def note() -> None:
        held = read_click(request)  # it may have been dropped or replaced since
        if held is not None and held.id == click.id:
            write_click(request, replace(held, has_row=True, awaits_consent=False))

    if connections[using].in_atomic_block:
        transaction.on_commit(note, using=using, robust=True)
    else:
        write_click(request, click)


def _session_value(request: HttpRequest, key: str) -> Any:
    """None without a session, or if its store is down: that must not break the page."""
    with tolerated("session_not_read", logging.WARNING):
        session: SessionBase | None = getattr(request, "session", None)
        if session is None:
            return None
        is_new = session.session_key is None
        read = session if is_new or _is_loaded(session) else _copy_of(request, session)
        with nullcontext() if is_new or _is_loaded(read) else savepoint():
            value = read.get(key)
        session.accessed = True  # for Django, which lets the answer vary by the cookie
        return value
    return None


def _is_loaded(session: SessionBase) -> bool:
    return hasattr(session, "_session_cache")


def _unread(session: SessionBase) -> SessionBase:
    """Return a copy that has read nothing, with what else its store keeps."""
    fresh = copy(session)
    for ours_or_read in ("save", "_session_cache"):
        vars(fresh).pop(ours_or_read, None)
    return fresh


def _copy_of(request: HttpRequest, session: SessionBase) -> SessionBase:
    """Return the session as it is stored, and leave the shop's own unread.

    A view that reads its session late must find what other requests have written until
    then, or a save of its own would undo that.
    """
    key = session.session_key
    noted: tuple[str | None, SessionBase] = getattr(
        unwrapped(request), _COPY, (None, session)
    )
    if noted[0] != key:
        noted = key, _unread(session)  # it loses its own key if the session has ended
        setattr(unwrapped(request), _COPY, noted)
    return noted[1]


def _put(
    request: HttpRequest,
    session: SessionBase,
    entry: dict[str, Any] | None,
    *,
    in_cookie: bool,
) -> bool:
    """Set our key, or delete it, and touch nothing else of the session.

    ``in_cookie``: our cookie says as much, unless there is none.
    """
    is_shown = settings.SESSION_COOKIE_NAME in request.COOKIES
    if not is_shown and _may_be_withheld(request):
        return False  # a new session would replace it, with the cart and the login
    if isinstance(session, signed_cookies.SessionStore):
        is_carried = in_cookie and uses_cookie()
        return not is_carried and _put_into_signed_cookie(session, entry)
    if is_shown and not session.modified and session.session_key is not None:
        # Saved now, from what is stored now. Django would save the whole session after
        # the view, over what other requests have written meanwhile.
        fresh = _unread(session)
        _change(fresh, entry)
        if fresh.session_key is not None:  # it has not ended
            fresh.save()
            setattr(unwrapped(request), _COPY, (session.session_key, fresh))
            if _is_loaded(session):
                _change(session, entry)  # for the view, and for a save of its own
                session.modified = False
            return True
    if not session.modified:
        _tolerate_failing_save(session)
    _change(session, entry)
    return True


def _may_be_withheld(request: HttpRequest) -> bool:
    """Whether the browser may have a session's cookie that this page does not see.

    It is not sent on the way from another site if it is Strict, and not outside its
    path.
    """
    if str(settings.SESSION_COOKIE_SAMESITE).lower() == "strict":
        return True
    folder = (settings.SESSION_COOKIE_PATH or "").rstrip("/")
    return not f"{request.path}/".startswith(f"{folder}/")


def _put_into_signed_cookie(session: SessionBase, entry: dict[str, Any] | None) -> bool:
    """A browser drops a cookie that is too long, with the cart and the login in it."""
    before, was_modified = session.get(KEY), session.modified
    _change(session, entry)
    session.save()  # signs it; Django sends it after the view
    length = len(settings.SESSION_COOKIE_NAME) + len(session.session_key or "")
    if entry is None or length < _MAX_COOKIE:
        return True
    _change(session, before)
    session.modified = was_modified
    logger.warning("session_not_written reason=cookie_too_long length=%d", length)
    return False


def _change(session: SessionBase, entry: dict[str, Any] | None) -> None:
    if entry is None:
        session.pop(KEY, None)
    else:
        session[KEY] = entry


def _tolerate_failing_save(session: SessionBase) -> None:
    """If only our key has changed, log an error of ``session.save`` and go on.

    Django saves the session after the view. It answers 500 if the store is down, and
    400 if the session has been ended meanwhile.
    """
    save, before = session.save, _without_ours(session)

    def tolerant_save(*args: Any, **kwargs: Any) -> None:
        try:
            save(*args, **kwargs)
        except Exception as exc:
            if _without_ours(session) != before:
                raise  # a change by the shop is lost, too
            logger.warning("session_not_saved error=%s", type(exc).__name__)

    session.save = tolerant_save  # type: ignore[method-assign]


def _without_ours(session: SessionBase) -> str:
    return repr({key: value for key, value in session.items() if key != KEY})


def held_click(request: HttpRequest) -> SessionClick | None:
    """Return the browser's click, or None. Raises database errors.

    One query if the cookie names a click that the session does not have.
    """
    in_session = read_click(request)
    known = in_session.id if in_session else None
    click_id = read_cookie(request, known=known)
    if click_id in {None, known}:
        return in_session
    row = stored_clicks().filter(pk=click_id).first()
    if row is None:  # erased or pruned
        note_no_cookie(request)
        return in_session
    in_cookie = _of_row(row)
    if in_session is None:
        return in_cookie
    in_cookie = replace(in_cookie, rows=in_session.rows)
    older, newer = sorted((in_session, in_cookie), key=lambda click: click.captured_at)
    if not stays(older, newer):
        return newer
    if newer.has_row and newer.reportable:
        later = dict.fromkeys((*older.later, newer.id, *newer.later))
        return replace(older, later=tuple(later)[-MAX_LATER:])
    return older


def later_clicks(click: SessionClick) -> list[Attribution]:
    """Return the clicks that came after this first one, in order. One query if any."""
    if not click.later:
        return []
    return [*stored_clicks().filter(pk__in=click.later).order_by("captured_at")]


def first_in_window(click: SessionClick, *, at: float) -> SessionClick:
    """Return the click, or the first later one that counts if it is too old."""
    if is_in_window(click, at=at):
        return click
    for row in later_clicks(click):
        others = tuple(each for each in click.later if each != row.pk)
        candidate = replace(_of_row(row), rows=click.rows, later=others)
        if is_in_window(candidate, at=at):
            return candidate
    return click


def _of_row(row: Attribution) -> SessionClick:
    return SessionClick(
        id=row.pk,
        captured_at=row.captured_at.timestamp(),
        business=row.business,
        landing=row.landing,
        digest=digest_of(row.landing),
        reportable=row.reportable,
        has_row=True,
    )


def holds_click(request: HttpRequest) -> bool:
    """Whether there may be a click. No query, if the session is loaded."""
    in_session = read_click(request)
    return in_session is not None or read_cookie(request) is not None


def is_gone(click: SessionClick) -> bool:
    """Whether the click that the browser holds leads to nothing any more. One query.

    It was erased; or its row was pruned, or rolled back with the shop's transaction.
    """
    if click.has_row:
        return not stored_clicks().filter(pk=click.id).exists()
    return is_erased(click.id)


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
    drop_click(request)
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
