"""Whether a visitor agreed, and what follows for a click that waited for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import router, transaction

from ..conf import conf
from ..models import Conversion, OrderAttribution, Reason, State
from . import session
from .mending import mend
from .rows import savepoint, store, stored

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from django.http import HttpRequest

    from .session import Held

logger = logging.getLogger(__name__)


def answer(request: HttpRequest) -> bool | None:
    """What CONSENT says of this visitor; None: not asked yet. Never raises."""
    try:
        ask = conf.CONSENT
        given = True if ask is None else ask(request)
    except Exception as exc:  # noqa: BLE001 - the page goes on, and nothing is stored
        logger.error("consent_not_known error=%s", type(exc).__name__)
        return None
    if given is None or isinstance(given, bool):
        return given
    logger.error("consent_not_known answer_type=%s", type(given).__name__)
    return None


def settled(request: HttpRequest, held: Held | None) -> Held | None:
    """What the visitor's click is now: one that waited for an answer may have it."""
    if held is None or not held.pending:
        return held
    given = answer(request)
    if given is None:
        return held
    if given:
        return _promoted(request, held)
    session.drop(request)
    with savepoint():
        waiting = Conversion.objects.filter(attribution_id=held.id).wanting()
        waiting.update(payload="", reason=Reason.CONSENT_REFUSED)
        _unbind({held.id})
    return None


def is_awaited(request: HttpRequest) -> bool:
    """Whether the visitor's click waits for an answer."""
    if not conf.raw.get("CONSENT"):
        return False
    with savepoint():  # a session's table that fails must not fail the order
        held = session.read(request)
    return held is not None and held.pending


def settle(request: HttpRequest) -> None:
    """Have a waiting click meet its answer. Raises what the database raises."""
    settled(request, session.read(request))


def consent_changed(request: HttpRequest) -> None:
    """Call it where the visitor has answered. Never raises.

    A click that waited is stored, and orders that waited for it are sent. Where the
    answer is no, the click is forgotten, and what was not yet sent is stopped; of a
    customer who is logged in every click, whichever device it came from.
    """
    try:
        held = settled(request, session.read(request))
        if answer(request) is False:
            _withdraw(request, held)
    except Exception as exc:  # noqa: BLE001 - as above
        logger.error("consent_not_heeded error=%s", type(exc).__name__)


def forget(request: HttpRequest) -> None:
    """Forget this visitor's clicks, as if consent had been withdrawn. Never raises."""
    try:
        _withdraw(request, session.read(request))
    except Exception as exc:  # noqa: BLE001 - as above
        logger.error("click_not_forgotten error=%s", type(exc).__name__)


def _promoted(request: HttpRequest, held: Held) -> Held:
    click = session.click_in(request, held)
    if click is None:
        return held
    with savepoint():
        store(click)
        mend(Conversion.objects.filter(attribution_id=held.id), click)
    session.mark_stored(request, held)
    return session.read(request) or held


def _withdraw(request: HttpRequest, held: Held | None) -> None:
    gone: set[UUID] = set()
    # One who came with a token, not a session, is known by the request alone.
    user = session.user_id(request)
    if user is None:
        user = getattr(getattr(request, "user", None), "pk", None)
    if user is not None:
        gone.update(stored().filter(user_id=user).values_list("pk", flat=True))
    if held is not None:
        gone.add(held.id)
        session.drop(request)
    if not gone:
        return
    using = router.db_for_write(Conversion)
    with transaction.atomic(using=using):
        rows = Conversion.objects.using(using).filter(attribution_id__in=gone)
        rows.mark_withdrawn()
        # Nor may a person send again what was given up; a worker has its own copy.
        rows.exclude(state=State.DELIVERED).update(body="")
        _unbind(gone)
        stored().filter(pk__in=gone).delete()


def _unbind(clicks: Collection[UUID]) -> None:
    """An order that is bound to one goes on to say that the customer said no."""
    bindings = OrderAttribution.objects.using(router.db_for_write(OrderAttribution))
    bindings.filter(attribution_id__in=clicks).update(attribution=None)
