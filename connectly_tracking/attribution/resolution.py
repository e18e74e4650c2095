"""Which click an order owes, and if none, why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ..conf import conf
from ..exceptions import InvalidEvent
from ..models import Attribution, Reason
from . import consent, session, token
from .binding import bound_to
from .credit import best_of, fault_of
from .rows import stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.http import HttpRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Clue:
    """Where an order's click is looked for: the first that can be credited wins.

    ``token`` is None or ``""`` where there is none. ``business``: only clicks of this
    one count; None: of any.
    """

    order_id: str
    event_time: datetime
    attribution: Attribution | UUID | str | None = None
    token: str | None = None
    request: HttpRequest | None = None
    user: Any = None
    business: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The click that is credited; with a reason, the one that is not, or None.

    ``click_id``: also of a click that has no row yet, since consent is awaited.
    """

    click: Attribution | None = None
    click_id: UUID | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    click: Attribution | None
    click_id: UUID
    is_pending: bool = False


def resolve(clue: Clue) -> Resolution:
    """Find the click of an order.

    Where no candidate can be credited, the first one's fault is the reason. Raises
    InvalidEvent where ``attribution`` is no click; and where ``token`` is no token and
    nothing else leads to a click either.
    """
    if clue.request is not None and consent.answer(clue.request) is False:
        return Resolution(reason=Reason.CONSENT_REFUSED)
    refused = Resolution(reason=Reason.NOT_ATTRIBUTED)
    faults = list[InvalidEvent]()
    for candidate in _candidates(clue, faults):
        found = _judged(candidate, clue.event_time)
        if found.reason is None:
            return found
        if refused.click_id is None:
            refused = found
    if faults and refused.click_id is None:
        raise faults[0]
    return refused


def _judged(candidate: _Candidate, event_time: datetime) -> Resolution:
    click = candidate.click
    if click is None or candidate.is_pending:
        fault = None if click is None else fault_of(click, event_time)
        reason = fault or Reason.CONSENT_PENDING
        return Resolution(click_id=candidate.click_id, reason=reason)
    reason_or_none = fault_of(click, event_time)
    return Resolution(click=click, click_id=click.pk, reason=reason_or_none)


def _candidates(clue: Clue, faults: list[InvalidEvent]) -> Iterator[_Candidate]:
    """In the order of trust; each is looked up only where those before it fail."""
    for candidate in _found(clue, faults):
        click = candidate.click
        if clue.business is None or click is None or click.business == clue.business:
            yield candidate


def _found(clue: Clue, faults: list[InvalidEvent]) -> Iterator[_Candidate]:
    if clue.attribution is not None:
        click = _explicit(clue.attribution)
        yield _Candidate(click=click, click_id=click.pk)
    if clue.token is not None:
        yield from _by_token(clue.token, faults)
    bound, bound_id = bound_to(clue.order_id, clue.business)
    if bound_id is not None:
        yield from _known(bound, bound_id)
    request = clue.request
    if request is not None:
        held = consent.settled(request, session.read(request))
        if held is not None and (click_held := held.attribution()):
            yield _Candidate(
                click=click_held, click_id=held.id, is_pending=held.pending
            )
    user = clue.user
    if user is None:
        user = getattr(request, "user", None)
    elif not hasattr(user, "is_authenticated"):
        raise InvalidEvent("user", "is no user; pass the user object")
    known = user is not None and user.is_authenticated
    if known and (own := best_of(user.pk, clue.event_time)):
        yield _Candidate(click=own, click_id=own.pk)


def _by_token(given: object, faults: list[InvalidEvent]) -> Iterator[_Candidate]:
    try:
        click_id = token.read(given)
    except InvalidEvent as exc:
        # It went through a payment provider's hands; perhaps the order was bound, too.
        faults.append(exc)
        return
    if click_id is not None:
        yield from _known(stored().filter(pk=click_id).first(), click_id)


def _known(click: Attribution | None, click_id: UUID) -> Iterator[_Candidate]:
    """A click by its id. Without a row it awaits consent, or was pruned."""
    if click is not None or conf.CONSENT is not None:
        yield _Candidate(click=click, click_id=click_id)


def _explicit(attribution: Attribution | UUID | str) -> Attribution:
    if isinstance(attribution, Attribution):
        return attribution
    try:
        return stored().get(pk=UUID(str(attribution)))
    except (ValueError, Attribution.DoesNotExist):
        raise InvalidEvent(
            "attribution", "is no click; pass an Attribution or its id"
        ) from None
