"""Keeps a landing: in the session, and as a row."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from django.db import router, transaction
from django.utils import timezone

from .. import landing as landings
from ..conf import DEFAULT_BUSINESS, conf
from ..models import Attribution
from ..signals import attribution_captured
from . import session
from .session import Held

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from ..landing import Landing, Refusal

#: They fetch a link to draw its preview; nobody has clicked. At the start only: a
#: browser inside WhatsApp names it further on.
PREVIEW_FETCHERS: Final = ("WhatsApp/", "facebookexternalhit/")

logger = logging.getLogger(__name__)


def land(request: HttpRequest) -> None:
    """Keep what a tagged page request says. Never raises."""
    try:
        if request.method != "GET" or _is_preview(request):
            return
        landing, refused = landings.parse(request.META["QUERY_STRING"])
        _keep(request, landing, refused, only_session=_is_prefetch(request))
    except Exception as exc:  # noqa: BLE001 - the page goes on, whatever it was
        # Its name alone: a database's words may quote the values.
        logger.error("landing_not_kept error=%s", type(exc).__name__)


def capture(request: HttpRequest, params: Mapping[str, object]) -> Attribution | None:
    """Keep a landing that reached the shop in another way than as a page's URL.

    ``params`` maps the five parameters to decoded values; whatever else it holds is
    passed over. Returns the click that the visitor holds now, or None. Never raises.
    """
    try:
        landing, refused = landings.from_params(params)
        _keep(request, landing, refused, only_session=False)
    except Exception as exc:  # noqa: BLE001 - as above
        logger.error("landing_not_kept error=%s", type(exc).__name__)
    return recall(request)


def recall(request: HttpRequest) -> Attribution | None:
    """The click that this visitor's session holds, or None. Never raises."""
    try:
        with _savepoint():
            return held_by(request)
    except Exception as exc:  # noqa: BLE001 - as above
        logger.error("click_not_read error=%s", type(exc).__name__)
        return None


def held_by(request: HttpRequest) -> Attribution | None:
    """As `recall`, but raises what the database raises."""
    held = session.read(request)
    return None if held is None else held.attribution()


def attach(request: HttpRequest, user: Any) -> None:
    """The visitor has logged in: the click is this user's from now on. Never raises."""
    try:
        held = session.read(request)
        if held is None:
            return
        if not held.stored and (click := held.attribution()):
            store(click)
            session.mark_stored(request, held)
        with _savepoint():
            own = Attribution.objects.filter(pk=held.id, user=None)
            own.update(user_id=user.pk)
    except Exception as exc:  # noqa: BLE001 - as above
        logger.error("click_not_attached error=%s", type(exc).__name__)


def store(click: Attribution) -> None:
    """Write a click's row: one INSERT, and no harm where it is there already."""
    using = router.db_for_write(Attribution)
    with _savepoint():
        Attribution.objects.using(using).bulk_create([click], ignore_conflicts=True)
    click._state.adding = False


def business_of(request: HttpRequest | None, order: Any = None) -> str:
    """The alias of the business that a request or an order belongs to."""
    resolver = conf.BUSINESS_RESOLVER
    return (resolver(request, order) if resolver else None) or DEFAULT_BUSINESS


def _landing_business(request: HttpRequest) -> str:
    try:
        alias = business_of(request)
    except Exception as exc:  # noqa: BLE001 - the shop's code must not cost the click
        logger.error("resolver_failed error=%s", type(exc).__name__)
        return DEFAULT_BUSINESS
    return alias


def _keep(
    request: HttpRequest,
    landing: Landing | None,
    refused: tuple[Refusal, ...],
    *,
    only_session: bool,
) -> None:
    for refusal in refused:
        logger.warning("landing_value_refused name=%s length=%d reason=%s", *refusal)
    if landing is None:
        return
    held, digest = session.read(request), session.digest(landing)
    if held and digest in {held.digest, held.passed_over}:
        return
    click = Attribution.from_landing(
        landing,
        business=_landing_business(request),
        user_id=session.user_id(request),
        refused=_summary(refused),
        captured_at=timezone.now(),
    )
    if held and held.reportable and not click.reportable:
        # Kept for the shop to see, but the complete click is the one to credit.
        session.write(request, replace(held, passed_over=digest))
        store(click)
    else:
        _hold(request, click, only_session=only_session)
    attribution_captured.send_robust(Attribution, request=request, attribution=click)


def _hold(request: HttpRequest, click: Attribution, *, only_session: bool) -> None:
    held = Held.of(click, stored=not only_session)
    in_session = session.write(request, held)
    if only_session and in_session and held.landing is not None:
        return
    try:
        store(click)
    except Exception:
        # The order will write it; till then the session has the values.
        session.write(request, replace(held, stored=False))
        raise


def _savepoint() -> transaction.Atomic | nullcontext[None]:
    """Around a statement of ours whose failure would fail somebody's transaction."""
    using = router.db_for_write(Attribution)
    in_atomic = transaction.get_connection(using).in_atomic_block
    return transaction.atomic(using) if in_atomic else nullcontext()


def _is_preview(request: HttpRequest) -> bool:
    agent: str = request.META.get("HTTP_USER_AGENT", "")
    return agent.startswith(PREVIEW_FETCHERS)


def _is_prefetch(request: HttpRequest) -> bool:
    """Fetched ahead of a click that may never come, and not again when it comes."""
    return any(
        request.META.get(header, "").lower().startswith("prefetch")
        for header in ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_MOZ")
    )


def _summary(refused: tuple[Refusal, ...]) -> str:
    return ", ".join(f"{name}: {reason}" for name, _length, reason in refused)
