"""Records that an attributed visitor viewed something: once in half an hour."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from ..api.payload import ViewPayload, body_json, payload_json
from ..api.values import described
from ..attribution.capture import current_click
from ..attribution.clicks import known_business, store_click, why_not_credited
from ..attribution.resolution import customer_id_of, resolve
from ..conf import DEFAULT_BUSINESS, conf
from ..events import ViewContent
from ..exceptions import InvalidEvent
from ..guard import savepoint
from ..models import Conversion, EventName, Reason, State, moment
from .databases import database_for

if TYPE_CHECKING:
    from uuid import UUID

    from ..attribution import ClickSource
    from ..models import Attribution

ONCE_IN: Final = timedelta(minutes=30)


def record_view(
    view: ViewContent, source: ClickSource, *, using: str | None = None
) -> Conversion:
    """Record that a visitor viewed something. The next poll sends it.

    The row is unsaved if no click can be credited. It is the earlier row if the same
    content was viewed after the same click less than half an hour ago. Raises
    InvalidEvent for a view that cannot be sent, and any database error.
    """
    if not isinstance(view, ViewContent):
        raise InvalidEvent("view", f"must be a ViewContent, not {described(view)}")
    if source.business is not None:
        known_business(source.business)
    using = database_for(using)
    # Without a transaction of our own: on SQLite one that has read could not wait for
    # its turn to write.
    with savepoint(using):
        click = _click(source)
        if click is None or click._state.adding:
            return _not_attributed()
        payload = ViewPayload.from_view(
            view, now=datetime.now(UTC), zone=timezone.get_default_timezone()
        )
        event_time = moment(payload.event_time)
        why_not = why_not_credited(click, event_time)
        if why_not or click.business not in conf.BUSINESSES:
            return _not_attributed()
        slot = int(payload.event_time // ONCE_IN.total_seconds())
        keys = [_key(click.pk, payload, slot - past) for past in (0, 1)]
        rows = Conversion.objects.using(using).filter(
            event_name=EventName.VIEW_CONTENT, business=click.business
        )
        recent = rows.filter(key__in=keys, event_time__gt=event_time - ONCE_IN)
        if seen := recent.first():
            return seen
        row = Conversion(
            event_name=EventName.VIEW_CONTENT,
            business=click.business,
            key=keys[0],
            event_time=event_time,
            recorded_at=timezone.now(),
            value=payload.value,
            currency=payload.currency,
            body=body_json("ViewContent", payload_json(payload), click.landing),
            user_id=customer_id_of(source),
        )
        row.credit(click)
        row.schedule(hold=0)
        try:
            with transaction.atomic(using=using):
                row.save(force_insert=True, using=using)
        except IntegrityError as exc:
            try:
                return rows.get(key=keys[0])  # the same view on another connection
            except Conversion.DoesNotExist:
                raise exc from None  # an error of the shop's post_save receiver
        return row


def _click(source: ClickSource) -> Attribution | None:
    now, request = timezone.now(), source.request
    named = (source.attribution, source.token, source.user, source.business)
    if request is not None and all(each is None for each in named):
        return current_click(request, at=now)
    click = resolve(source, event_time=now).click
    if click is not None and click._state.adding:
        store_click(click)
    return click


def _not_attributed() -> Conversion:
    return Conversion(
        event_name=EventName.VIEW_CONTENT,
        business=DEFAULT_BUSINESS,
        state=State.SKIPPED,
        reason=Reason.NOT_ATTRIBUTED,
    )


def _key(click_id: UUID, payload: ViewPayload, slot: int) -> str:
    text = f"{click_id.hex}\n{payload.digest}\n{slot}"
    return hashlib.sha256(text.encode()).hexdigest()
