"""Which click an order is credited to; without one, why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.contrib.auth import get_user_model

from ..api.values import reading
from ..conf import conf
from ..exceptions import InvalidEvent
from ..models import Attribution, OrderAttribution, Reason
from .binding import binding_of, read_token
from .clicks import best_click_of_user, stored_clicks, user_key, why_not_credited
from .consent import apply_consent, ask_consent
from .session import (
    drop_held,
    is_erased,
    later_clicks,
    load_attribution,
    user_id_of,
    visitor_id_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.http import HttpRequest


@dataclass(frozen=True, kw_only=True)
class ClickSource:
    """Where to look for an event's click: the first that can be credited wins.

    ``business``: only clicks of this one count; None: of any. ``order`` is passed to
    BUSINESS_RESOLVER: the shop's own order if there is one, or else the event.
    """

    attribution: Attribution | UUID | str | None = None
    token: str | None = None
    request: HttpRequest | None = None
    user: Any = None
    business: str | None = None
    order: Any = None


class Resolution(NamedTuple):
    """The click that is credited; with a ``reason``, the one that is not, or None.

    ``click_id`` and ``business`` are also set for a click without a row, which waits
    for consent.
    """

    click: Attribution | None = None
    click_id: UUID | None = None
    reason: Reason | None = None
    business: str | None = None


def resolve(
    source: ClickSource, *, event_time: datetime, order_id: str = ""
) -> Resolution:
    """Return the click to credit for an event. ``order_id`` is empty for a view.

    If no click can be credited, the first one says why. Raises InvalidEvent for an
    ``attribution`` that is not a click, and for a bad ``token`` if nothing else leads
    to a click.
    """
    request = source.request
    # An employee's own answer is not the customer's.
    has_refused = request is not None and ask_consent(request) is False
    if has_refused and not _is_entered_for_another(source):
        return Resolution(reason=Reason.CONSENT_REFUSED)
    token_id, bad_token = None, None
    try:
        with reading("token"):
            token_id = None if source.token is None else read_token(source.token)
    except InvalidEvent as exc:
        # A payment provider has held it, and the order may be bound as well.
        bad_token = exc
    first: Resolution | None = None
    for candidate in _candidates(source, token_id, order_id, event_time):
        click, click_id, obstacle, business = candidate
        if click is not None and source.business not in (None, click.business):
            continue
        reason = (click and why_not_credited(click, event_time)) or obstacle
        if reason is None:
            return candidate
        if first is None:
            # Before consent nothing of the click may be copied to the order.
            first = Resolution(None if obstacle else click, click_id, reason, business)
    if first is None and bad_token is not None:
        raise bad_token
    return first or Resolution(reason=Reason.NOT_ATTRIBUTED)


def _candidates(
    source: ClickSource, token_id: UUID | None, order_id: str, event_time: datetime
) -> Iterator[Resolution]:
    """Yield clicks, the surest first. ``reason`` is set if consent is in the way.

    Each is looked up only if those before it were of no use.
    """
    if source.attribution is not None:
        click = _explicit(source.attribution)
        yield Resolution(click, click.pk)
    if token_id is not None:
        yield from _by_id(stored_clicks().filter(pk=token_id).first(), token_id)
    binding, held = _binding_and_held(source, order_id)
    newest = max((each.click.captured_at for each in held if each.click), default=None)
    if binding is not None and newest is not None and newest > binding.bound_at:
        # An earlier customer may have given up an order of the same draft number.
        yield from held
        held = []
    if binding is not None:
        if (bound_id := binding.attribution_id) is None:
            yield Resolution(reason=Reason.CONSENT_REFUSED)
        else:
            yield from _by_id(binding.attribution, bound_id, binding.business)
    yield from held
    user = source.user
    if user is None:
        user = getattr(source.request, "user", None)
    else:
        with reading("user"):
            is_user = hasattr(user, "is_authenticated")
        if not is_user:
            raise InvalidEvent("user", "must be a user object")
    is_known = user is not None and user.is_authenticated
    if is_known and (own := best_click_of_user(user.pk, event_time, source.business)):
        yield Resolution(own, own.pk)


def customer_id_of(source: ClickSource) -> Any:
    """Return the primary key of the user who ordered, or None. Without a query."""
    user = source.user
    if user is None and source.request is not None:
        user_id = user_id_of(source.request)
        if user_id is not None:
            return user_id
        user = getattr(source.request, "user", None)
    is_known = user is not None and isinstance(user, get_user_model())
    return user.pk if is_known else None


def _binding_and_held(
    source: ClickSource, order_id: str
) -> tuple[OrderAttribution | None, list[Resolution]]:
    """Return the order's binding, and the clicks that the customer's browser holds."""
    request, held = source.request, None
    if request is not None and not _is_entered_for_another(source):
        held = apply_consent(request)
    if order_id:
        held_id = held.id if held else None
        binding, was_erased = binding_of(order_id, source.business, held_id)
    else:
        binding, was_erased = None, held is not None and is_erased(held.id)
    if request is None or held is None:
        return binding, []
    if was_erased:
        drop_held(request)
        return binding, []
    reason = Reason.CONSENT_PENDING if held.awaits_consent else None
    clicks = [Resolution(it, it.pk) for it in later_clicks(held)]
    if (click := load_attribution(request, held)) is not None:
        clicks.insert(0, Resolution(click, held.id, reason, click.business))
    return binding, clicks


def _is_entered_for_another(source: ClickSource) -> bool:
    """Whether a logged-in person, such as an employee, orders for another customer."""
    if source.request is None or not hasattr(source.user, "is_authenticated"):
        return False
    visitor_id = visitor_id_of(source.request)
    return visitor_id is not None and visitor_id != user_key(source.user.pk)


def _by_id(
    click: Attribution | None, click_id: UUID, business: str | None = None
) -> Iterator[Resolution]:
    """A click without a row waits for consent, or was pruned, refused or erased."""
    if click is not None:
        yield Resolution(click, click_id)
    elif is_erased(click_id):
        yield Resolution(reason=Reason.CONSENT_REFUSED)
    elif conf.CONSENT is not None:
        yield Resolution(None, click_id, Reason.CONSENT_PENDING, business)


def _explicit(attribution: Attribution | UUID | str) -> Attribution:
    try:
        with reading("attribution"):
            if isinstance(attribution, Attribution):
                return attribution
            click_id = UUID(str(attribution))
        return stored_clicks().get(pk=click_id)
    except (InvalidEvent, Attribution.DoesNotExist):
        problem = "must be an Attribution or the id of one"
        raise InvalidEvent("attribution", problem) from None
