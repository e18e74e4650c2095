"""Whether a visitor agreed, and what follows for a click that waited for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..conf import conf
from ..models import Conversion, Reason
from . import session
from .mending import mend
from .rows import savepoint, store, stored

if TYPE_CHECKING:
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
    return None


def consent_changed(request: HttpRequest) -> None:
    """Call it where the visitor has answered. Never raises.

    A click that waited is stored, and orders that waited for it are sent. Where the
    answer is no, the click is forgotten, and what was not yet sent is stopped.
    """
    try:
        held = settled(request, session.read(request))
        if held is not None and answer(request) is False:
            _withdraw(request, held)
    except Exception as exc:  # noqa: BLE001 - as above
        logger.error("consent_not_heeded error=%s", type(exc).__name__)


def forget(request: HttpRequest) -> None:
    """Forget this visitor's click, as if consent had been withdrawn. Never raises."""
    try:
        held = session.read(request)
        if held is not None:
            _withdraw(request, held)
    except Exception as exc:  # noqa: BLE001 - as above
        logger.error("click_not_forgotten error=%s", type(exc).__name__)


def _promoted(request: HttpRequest, held: Held) -> Held:
    click = held.attribution()
    if click is None:
        return held
    click.user_id = session.user_id(request)
    with savepoint():
        store(click)
        mend(Conversion.objects.filter(attribution_id=held.id), click)
    session.mark_stored(request, held)
    return session.read(request) or held


def _withdraw(request: HttpRequest, held: Held) -> None:
    session.drop(request)
    with savepoint():
        waiting = Conversion.objects.filter(attribution_id=held.id)
        waiting.wanting().update(payload="", reason=Reason.CONSENT_WITHDRAWN)
        waiting.mark_withdrawn()
        stored().filter(pk=held.id).delete()
