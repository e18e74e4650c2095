"""Which click an order owes, and if none, why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ..conf import conf
from ..exceptions import InvalidEvent
from ..models import Attribution, Reason
from . import consent, session, token
from .binding import binding_of
from .credit import best_of, fault_of
from .rows import stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.http import HttpRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Clue:
    """Where an order's click is looked for: the first that can be credited wins.

    ``order_id`` is ``""`` for what is no order; ``token`` is None or ``""`` where there
    is none. ``business``: only clicks of this one count; None: of any.
    """

    event_time: datetime
    order_id: str = ""
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
    """``fault``: why it cannot be credited, whatever its age."""

    click: Attribution | None = None
    click_id: UUID | None = None
    fault: Reason | None = None


def resolve(clue: Clue) -> Resolution:
    """Find the click of an order.

    Where no candidate can be credited, the first one's fault is the reason. Raises
    InvalidEvent where ``attribution`` is no click; and where ``token`` is no token and
    nothing else leads to a click either.
    """
    if clue.request is not None and consent.answer(clue.request) is False:
        return Resolution(reason=Reason.CONSENT_REFUSED)
    refused: Resolution | None = None
    faults = list[InvalidEvent]()
    for candidate in _candidates(clue, faults):
        found = _judged(candidate, clue.event_time)
        if found.reason is None:
            return found
        refused = refused or found
    if faults and refused is None:
        raise faults[0]
    return refused or Resolution(reason=Reason.NOT_ATTRIBUTED)


def _judged(candidate: _Candidate, event_time: datetime) -> Resolution:
    click = candidate.click
    fault = None if click is None else fault_of(click, event_time)
    return Resolution(
        click=None if candidate.fault else click,
        click_id=candidate.click_id,
        reason=fault or candidate.fault,
    )


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
    binding = binding_of(clue.order_id, clue.business) if clue.order_id else None
    if binding is not None:
        yield from _bound(binding.attribution, binding.attribution_id)
    request = clue.request
    if request is not None:
        held = consent.settled(request, session.read(request))
        if held is not None and (click_held := session.click_in(request, held)):
            fault = Reason.CONSENT_PENDING if held.pending else None
            yield _Candidate(click=click_held, click_id=held.id, fault=fault)
    user = clue.user
    if user is None:
        user = getattr(request, "user", None)
    elif not hasattr(user, "is_authenticated"):
        raise InvalidEvent("user", "is no user; pass the user object")
    known = user is not None and user.is_authenticated
    if known and (own := best_of(user.pk, clue.event_time, clue.business)):
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


def _bound(click: Attribution | None, click_id: UUID | None) -> Iterator[_Candidate]:
    if click_id is None:
        yield _Candidate(fault=Reason.CONSENT_REFUSED)
    else:
        yield from _known(click, click_id)


def _known(click: Attribution | None, click_id: UUID) -> Iterator[_Candidate]:
    """A click by its id. Without a row it awaits consent, or was pruned."""
    if click is not None:
        yield _Candidate(click=click, click_id=click_id)
    elif conf.CONSENT is not None:
        yield _Candidate(click_id=click_id, fault=Reason.CONSENT_PENDING)


def _explicit(attribution: Attribution | UUID | str) -> Attribution:
    if isinstance(attribution, Attribution):
        return attribution
    try:
        return stored().get(pk=UUID(str(attribution)))
    except (ValueError, Attribution.DoesNotExist):
        raise InvalidEvent(
            "attribution", "is no click; pass an Attribution or its id"
        ) from None
