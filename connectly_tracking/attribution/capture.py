"""Captures a landing, in the session and as a row, and returns the visitor's click."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.utils import timezone

from ..api import landing as landings
from ..api.landing import Reading
from ..conf import DEFAULT_BUSINESS
from ..guard import guarded, refuse_async, savepoint, tolerated
from ..models import MAX_REFUSED, Attribution
from ..signals import attribution_captured
from .clicks import (
    best_click_of_user,
    landing_rows,
    resolve_business,
    store_click,
    stored_clicks,
    why_not_credited,
)
from .consent import apply_consent, ask_consent
from .cookie import note_cookie, note_landing, note_no_cookie, read_cookie
from .page import kept_page
from .session import (
    MAX_IN_SESSION,
    MAX_LATER,
    SessionClick,
    digest_of,
    drop_held,
    drop_if_erased,
    first_in_window,
    holds_click,
    is_erased,
    is_gone,
    is_in_window,
    later_clicks,
    load_attribution,
    read_click,
    stays,
    store_from_session,
    user_id_of,
    visitor_id_of,
    write_click,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.http import HttpRequest

    from ..api.landing import Landing, Note

#: Clients that fetch a link to draw its preview. Only at the start of the User-Agent:
#: a browser inside WhatsApp has the same words further on.
PREVIEW_FETCHERS: Final = ("WhatsApp/", "facebookexternalhit/")

#: Seconds in which another request may be writing a click's row.
ON_ITS_WAY: Final = 60.0

logger = logging.getLogger(__name__)


def land(request: HttpRequest) -> None:
    """Capture the landing of a page request whose URL has a tag. Never raises."""
    guarded("landing_not_kept", lambda: _land(request))


def land_from(request: HttpRequest, address: str) -> None:
    """Capture a page's address or query string from the request's body. Never raises.

    Without an address, the page is the one that the Referer header names.
    """
    guarded("landing_not_kept", lambda: _land_from(request, address))


def capture(request: HttpRequest, params: Mapping[str, object]) -> Attribution | None:
    """Capture a landing that came in another way than in a page's URL. Never raises.

    ``params`` maps the five parameters to decoded values; other keys are ignored.
    Returns the visitor's click, or None.
    """
    return guarded("click_not_read", lambda: _capture_and_recall(request, params))


async def acapture(
    request: HttpRequest, params: Mapping[str, object]
) -> Attribution | None:
    """As `capture`, for async code."""
    return await sync_to_async(capture)(request, params)


def is_prefetch(request: HttpRequest) -> bool:
    """Whether a browser fetches the page before a click, and not again after it."""
    return any(
        request.META.get(header, "").lower().startswith("prefetch")
        for header in ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_MOZ")
    )


def may_have_landed(request: HttpRequest) -> bool:
    """Whether the session may be read: the page of a visitor without one must not come
    to vary by cookie. On the landing page itself the session has just been written.
    """
    is_written = getattr(getattr(request, "session", None), "modified", False)
    if is_written and not is_prefetch(request):
        return True
    if settings.SESSION_COOKIE_NAME in request.COOKIES:
        return True
    return read_cookie(request) is not None


def recall(request: HttpRequest) -> Attribution | None:
    """Return the click in the visitor's session, if consent allows it. Never raises."""
    return guarded("click_not_read", lambda: _recall(request))


async def arecall(request: HttpRequest) -> Attribution | None:
    """As `recall`, for async code."""
    return await sync_to_async(recall)(request)


def current_click(request: HttpRequest, *, at: datetime) -> Attribution | None:
    """Return the visitor's click, or the user's best if only that can be credited.

    None if consent is refused. A click that only the session has is stored, unless it
    waits for consent. Raises database errors.
    """
    click = apply_consent(request)
    if ask_consent(request) is False:
        return None
    if click is not None and drop_if_erased(request, click):
        click = None
    held = store_from_session(request, click) if click else None
    if click and not click.awaits_consent:
        for each in (held, *later_clicks(click)):
            if each and why_not_credited(each, at) is None:
                return each
    user: Any = getattr(request, "user", None)
    is_known = user is not None and user.is_authenticated
    own = best_click_of_user(user.pk, at) if is_known else None
    if held is None or (own is not None and why_not_credited(own, at) is None):
        return own
    return held


def attach_user(request: HttpRequest, user: Any) -> None:
    """Note that the session's click is this user's, at login. Never raises."""
    if guarded("click_not_attached", lambda: holds_click(request), savepoint="none"):
        guarded("click_not_attached", lambda: _attach_user(request, user))


def _land(request: HttpRequest) -> None:
    query = request.META.get("QUERY_STRING", "")
    if landings.is_tagged(query, request.path_info):
        note_landing(request)
    agent = request.META.get("HTTP_USER_AGENT", "")
    is_prefetched = is_prefetch(request)
    # An image or a frame in somebody's review is not a visit.
    dest = request.META.get("HTTP_SEC_FETCH_DEST", "document")
    if (
        request.method == "GET"
        and not agent.startswith(PREVIEW_FETCHERS)
        and (is_prefetched or dest == "document")
    ):
        reading = landings.read_url(query, request.path_info)
        _capture(request, reading, request.path, is_prefetched)


def _land_from(request: HttpRequest, address: str) -> None:
    is_whole = address.startswith(("https://", "http://"))
    page = ""
    with suppress(ValueError):
        source = address if is_whole else request.META.get("HTTP_REFERER", "")
        page = unquote(urlsplit(source).path)
    _capture(request, landings.read_url(address), page)


def _capture_and_recall(
    request: HttpRequest, params: Mapping[str, object]
) -> Attribution | None:
    refuse_async("capture()", "await acapture(...)")

    def capture_params() -> None:
        reading = Reading(*landings.parse_params(params), lost="")
        _capture(request, reading, page="", user_id=visitor_id_of(request))

    guarded("landing_not_kept", capture_params)
    return recall(request)


def _recall(request: HttpRequest) -> Attribution | None:
    refuse_async("recall()", "await arecall(...)")
    click = apply_consent(request)
    if click is None or ask_consent(request) is False:
        return None
    if drop_if_erased(request, click):
        return None
    return load_attribution(request, first_in_window(click, at=time.time()))


def _attach_user(request: HttpRequest, user: Any) -> None:
    click = apply_consent(request)
    if click is None or click.awaits_consent:
        return
    if not click.has_row:
        if drop_if_erased(request, click):
            return
        store_from_session(request, click)
    held = stored_clicks().filter(pk__in=[click.id, *click.later], user=None)
    held.update(user_id=user.pk)


def _capture(
    request: HttpRequest,
    reading: Reading,
    page: str,
    is_prefetched: bool = False,
    user_id: Any = None,
) -> None:
    landing, notes, lost = reading
    if lost or notes:
        _log_notes(notes, lost)
    if landing is None:
        return
    before = _click_before(request)
    digest = digest_of(landing)
    if (
        before is not None
        and digest in {before.digest, before.lesser_digest}
        and is_in_window(before, at=time.time())
    ):
        if before.has_row:  # an earlier release set no cookie
            note_cookie(request, before.id)
        elif (
            not is_prefetched
            and ask_consent(request)
            and landing_rows.may_write(written=before.rows)
        ):
            # It was prefetched, or its row could not be written.
            store_from_session(request, replace(before, rows=before.rows + 1))
        return
    agreed = ask_consent(request)
    if agreed is False:
        note_no_cookie(request)
        return
    rows = before.rows if before else 0
    may_store = bool(agreed) and not is_prefetched
    is_bounded = may_store and not landing_rows.may_write(written=rows)
    has_row = may_store and not is_bounded
    click = _new_click(request, landing, notes, page, user_id)
    entry = SessionClick(
        id=click.pk,
        captured_at=click.captured_at.timestamp(),
        business=click.business,
        landing=landing if sum(map(len, landing.values)) <= MAX_IN_SESSION else None,
        digest=digest,
        reportable=click.reportable,
        has_row=has_row,
        awaits_consent=agreed is None,
        page=click.page,
        rows=rows + has_row,
    )
    if before is not None and stays(before, entry):
        if not has_row:
            return
        # Only stored, for the shop to see: the other click is the one to credit.
        later = (*before.later, entry.id)[-MAX_LATER:] if entry.reportable else ()
        noted = replace(
            before, lesser_digest=digest, rows=entry.rows, later=later or before.later
        )
        write_click(request, noted)
        store_click(click)
    elif not _keep(request, entry, click, is_bounded=is_bounded):
        return
    attribution_captured.send_robust(Attribution, request=request, attribution=click)


def _click_before(request: HttpRequest) -> SessionClick | None:
    """Return the browser's click, unless it leads to nothing any more.

    If the database cannot be asked, the session is believed: it can still be written.
    """
    if not holds_click(request):
        return None
    held = read_click(request)
    with tolerated("click_not_read", logging.WARNING), savepoint():
        held = apply_consent(request)
        if held is not None:
            held = first_in_window(held, at=time.time())
        if held is not None and _is_gone(held):
            drop_held(request)
            held = None
    return held


def _is_gone(click: SessionClick) -> bool:
    """As `is_gone`, but the row of a click of this minute may be on its way."""
    is_new = time.time() - click.captured_at < ON_ITS_WAY
    return is_erased(click.id) if click.has_row and is_new else is_gone(click)


def _log_notes(notes: tuple[Note, ...], lost: str) -> None:
    if lost:
        # An address inside another parameter, such as `next`, has been seen before.
        level = logging.INFO if lost == "in_a_value" else logging.WARNING
        logger.log(level, "tagged_link_lost reason=%s", lost)
        return
    for note in notes:
        event = "repaired" if note.is_repair else "refused"
        name, length, reason = note
        logger.warning(
            "landing_value_%s name=%s length=%d reason=%s", event, name, length, reason
        )


def _new_click(
    request: HttpRequest,
    landing: Landing,
    notes: tuple[Note, ...],
    page: str,
    user_id: Any,
) -> Attribution:
    business = DEFAULT_BUSINESS
    with tolerated("resolver_failed"):
        business = resolve_business(request)
    refused = ", ".join(f"{name}: {reason}" for name, _length, reason in notes)
    return Attribution.from_landing(
        landing,
        business=business,
        user_id=user_id or user_id_of(request),
        refused=refused[:MAX_REFUSED],
        page=kept_page(page),
        captured_at=timezone.now(),
    )


def _keep(
    request: HttpRequest, entry: SessionClick, click: Attribution, *, is_bounded: bool
) -> bool:
    """Put the click into the session, and write its row if it may have one now.

    Return whether it is kept. Past a bound no row is written, session or not.
    """
    if entry.awaits_consent or is_bounded:
        obstacle = "without_consent" if entry.awaits_consent else "past_the_bound"
        if entry.landing is None:
            logger.warning("landing_not_kept reason=too_long_%s", obstacle)
            return False
        is_written = write_click(request, entry)
        if not is_written:
            logger.warning("landing_not_kept reason=no_session_%s", obstacle)
        return is_written
    is_written = write_click(request, entry)
    if is_written and entry.landing is not None and not entry.has_row:
        return True  # a prefetch: its row is written at the first use
    try:
        store_click(click)
    except Exception:
        # The order will write the row; until then the session has the values.
        write_click(request, replace(entry, has_row=False))
        raise
    note_cookie(request, click.pk)
    return True
