"""Which click an order owes, and if none, why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.db import router

from ..conf import conf
from ..exceptions import InvalidEvent
from ..landing import META_CTWA
from ..models import Attribution, Reason
from . import session
from .capture import held_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.http import HttpRequest

    from ..models import AttributionQuerySet

#: A click may come so much after the order: two clocks, and a page that opens late.
GRACE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The click that is credited; with a reason, the one that is not, or None."""

    click: Attribution | None = None
    reason: Reason | None = None


def resolve(
    *,
    event_time: datetime,
    attribution: Attribution | UUID | str | None = None,
    request: HttpRequest | None = None,
    user: Any = None,
) -> Resolution:
    """Find the click of an order that was placed at ``event_time``.

    The first candidate that can be credited wins; where none can, the first one's fault
    is the reason. Raises InvalidEvent where ``attribution`` is no click.
    """
    refused = Resolution(reason=Reason.NOT_ATTRIBUTED)
    for click in _candidates(event_time, attribution, request, user):
        reason = _fault(click, event_time)
        if reason is None:
            return Resolution(click=click)
        if refused.click is None:
            refused = Resolution(click=click, reason=reason)
    return refused


def is_at_hand(attribution: object, request: HttpRequest | None) -> bool:
    """Whether the first candidate can be had without a query."""
    if attribution is not None:
        return isinstance(attribution, Attribution)
    return request is not None and session.is_at_hand(request)


def _candidates(
    event_time: datetime,
    attribution: Attribution | UUID | str | None,
    request: HttpRequest | None,
    user: Any,
) -> Iterator[Attribution]:
    """In the order of trust; each is looked up only where those before it fail."""
    if attribution is not None:
        yield _explicit(attribution)
    if request is not None and (click := held_by(request)):
        yield click
    if user is None:
        user = getattr(request, "user", None)
    elif not hasattr(user, "is_authenticated"):
        raise InvalidEvent("user", "is no user; pass the user object")
    if user is not None and user.is_authenticated:
        until = event_time + GRACE
        if click := _stored().best_for(user.pk, until=until):
            yield click


def _stored() -> AttributionQuerySet:
    """Where they are written: a replica may not know the click of a minute ago."""
    return Attribution.objects.using(router.db_for_write(Attribution))


def _explicit(attribution: Attribution | UUID | str) -> Attribution:
    if isinstance(attribution, Attribution):
        return attribution
    try:
        return _stored().get(pk=UUID(str(attribution)))
    except (ValueError, Attribution.DoesNotExist):
        raise InvalidEvent(
            "attribution", "is no click; pass an Attribution or its id"
        ) from None


def _fault(click: Attribution, event_time: datetime) -> Reason | None:
    if click.attribution_source != META_CTWA:
        return Reason.OTHER_SOURCE
    if not click.reportable:
        return Reason.INCOMPLETE_CLICK
    if click.captured_at > event_time + GRACE:
        return Reason.CLICK_AFTER_ORDER
    if not click.is_within(conf.ATTRIBUTION_WINDOW, of=event_time):
        return Reason.OUTSIDE_WINDOW
    return None
