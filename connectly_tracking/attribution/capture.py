"""Keeps a landing: in the session, and as a row."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit

from django.utils import timezone

from ..api import landing as landings
from ..conf import conf
from ..models import MAX_PAGE, Attribution
from ..signals import attribution_captured
from . import consent, session
from .business import landing_business
from .credit import best_of
from .rows import savepoint, store
from .session import Held

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.http import HttpRequest

    from ..api.landing import Landing, Refusal

#: They fetch a link to draw its preview; nobody has clicked. At the start only: a
#: browser inside WhatsApp names it further on.
PREVIEW_FETCHERS: Final = ("WhatsApp/", "facebookexternalhit/")

logger = logging.getLogger(__name__)


def land(request: HttpRequest) -> None:
    """Keep what a tagged page request says. Never raises."""
    try:
        if request.method != "GET" or _is_preview(request):
            return
        landing, refused = landings.parse_query(request.META["QUERY_STRING"])
        page = _page(request.path)
        _keep(request, landing, refused, page, only_session=is_prefetch(request))
    except Exception as exc:  # noqa: BLE001 - the page goes on, whatever it was
        # Its name alone: a database's words may quote the values.
        logger.error("landing_not_kept error=%s", type(exc).__name__)


def land_from(request: HttpRequest, query: str) -> None:
    """Keep what a page's query string says that reached the shop in a request's body.

    Never raises.
    """
    try:
        landing, refused = landings.parse_query(query)
        page = _page(_path_of(request.META.get("HTTP_REFERER", "")))
        _keep(request, landing, refused, page, only_session=False)
    except Exception as exc:  # noqa: BLE001 - as above
        logger.error("landing_not_kept error=%s", type(exc).__name__)


def capture(request: HttpRequest, params: Mapping[str, object]) -> Attribution | None:
    """Keep a landing that reached the shop in another way than as a page's URL.

    ``params`` maps the five parameters to decoded values; whatever else it holds is
    passed over. Returns the click that the visitor holds now, or None. Never raises.
    """
    try:
        landing, refused = landings.parse_params(params)
        _keep(request, landing, refused, "", only_session=False)
    except Exception as exc:  # noqa: BLE001 - as above
        logger.error("landing_not_kept error=%s", type(exc).__name__)
    return recall(request)


def recall(request: HttpRequest) -> Attribution | None:
    """The click that this visitor's session holds, or None; also where the visitor has
    not agreed. Never raises.
    """
    try:
        with savepoint():
            return held_by(request)
    except Exception as exc:  # noqa: BLE001 - as above
        logger.error("click_not_read error=%s", type(exc).__name__)
        return None


def held_by(request: HttpRequest) -> Attribution | None:
    """As `recall`, but raises what the database raises."""
    held = consent.settled(request, session.read(request))
    if held is None or consent.answer(request) is False:
        return None
    return held.attribution()


def click_of(request: HttpRequest, *, at: datetime) -> Attribution | None:
    """The click that an order of this visitor would owe: the session's, else the
    user's. One that only the session had is stored, unless it waits for consent; none
    where the visitor has not agreed.
    """
    held = consent.settled(request, session.read(request))
    if consent.answer(request) is False:
        return None
    if held is not None and (click := session.click_in(request, held)):
        if not held.stored and not held.pending:
            store(click)
            session.mark_stored(request, held)
        return click
    user: Any = getattr(request, "user", None)
    known = user is not None and user.is_authenticated
    return best_of(user.pk, at) if known else None


def attach(request: HttpRequest, user: Any) -> None:
    """The visitor has logged in: the click is this user's from now on. Never raises."""
    try:
        held = consent.settled(request, session.read(request))
        if held is None or held.pending:
            return
        if not held.stored and (click := session.click_in(request, held)):
            store(click)
            session.mark_stored(request, held)
        with savepoint():
            own = Attribution.objects.filter(pk=held.id, user=None)
            own.update(user_id=user.pk)
    except Exception as exc:  # noqa: BLE001 - as above
        logger.error("click_not_attached error=%s", type(exc).__name__)


def _keep(
    request: HttpRequest,
    landing: Landing | None,
    refused: tuple[Refusal, ...],
    page: str,
    *,
    only_session: bool,
) -> None:
    for refusal in refused:
        logger.warning("landing_value_refused name=%s length=%d reason=%s", *refusal)
    if landing is None:
        return
    held = consent.settled(request, session.read(request))
    digest = session.digest(landing)
    if held and digest in {held.digest, held.passed_over}:
        return
    given = consent.answer(request)
    if given is False:
        return
    click = Attribution.from_landing(
        landing,
        business=landing_business(request),
        user_id=session.user_id(request),
        refused=_summary(refused),
        page=page,
        captured_at=timezone.now(),
    )
    if held and _keeps(held, click):
        # Kept for the shop to see, but the other click is the one to credit.
        session.write(request, replace(held, passed_over=digest))
        if given:
            store(click)
    elif not _hold(request, click, pending=given is None, only_session=only_session):
        return
    attribution_captured.send_robust(Attribution, request=request, attribution=click)


def _keeps(held: Held, click: Attribution) -> bool:
    """Whether the click that the session has is not to be replaced by this one."""
    if held.reportable and not click.reportable:
        return True
    if conf.ATTRIBUTION_TOUCH == "last" or not held.reportable:
        return False
    window = conf.ATTRIBUTION_WINDOW
    age = timedelta(seconds=click.captured_at.timestamp() - held.at)
    return window is None or age <= window


def _hold(
    request: HttpRequest, click: Attribution, *, pending: bool, only_session: bool
) -> bool:
    """Put it into the session, and into a row where that may be. Whether it is kept."""
    held = Held.of(click, stored=not (pending or only_session), pending=pending)
    if pending and held.landing is None:
        logger.warning("landing_not_kept reason=too_long_without_consent")
        return False
    in_session = session.write(request, held)
    if pending or (only_session and in_session and held.landing is not None):
        return in_session
    try:
        store(click)
    except Exception:
        # The order will write it; till then the session has the values.
        session.write(request, replace(held, stored=False))
        raise
    return True


def _page(path: str) -> str:
    """Encoded, so that any column can hold it; cut, since nothing rests on it."""
    return quote(path)[:MAX_PAGE]


def _path_of(url: str) -> str:
    try:
        return unquote(urlsplit(url).path)
    except ValueError:
        return ""


def _is_preview(request: HttpRequest) -> bool:
    agent: str = request.META.get("HTTP_USER_AGENT", "")
    return agent.startswith(PREVIEW_FETCHERS)


def is_prefetch(request: HttpRequest) -> bool:
    """Fetched ahead of a click that may never come, and not again when it comes."""
    return any(
        request.META.get(header, "").lower().startswith("prefetch")
        for header in ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_MOZ")
    )


def _summary(refused: tuple[Refusal, ...]) -> str:
    return ", ".join(f"{name}: {reason}" for name, _length, reason in refused)
