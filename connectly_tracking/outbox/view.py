"""Records that an attributed visitor looked at something: once in half an hour."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, router, transaction
from django.utils import timezone

from ..api.body import body_json, payload_json
from ..api.payload import ViewPayload
from ..attribution import (
    Clue,
    click_of,
    fault_of,
    known_business,
    resolve,
    savepoint,
    store,
)
from ..conf import DEFAULT_BUSINESS, conf
from ..events import ViewContent
from ..exceptions import InvalidEvent
from ..models import Conversion, EventName, Reason, State, moment

if TYPE_CHECKING:
    from uuid import UUID

    from ..models import Attribution
    from .draft import Source

ONCE_IN: Final = timedelta(minutes=30)


def record_view(
    view: ViewContent, source: Source, *, using: str | None = None
) -> Conversion:
    """Record that a visitor looked at something, to be sent with the next poll.

    The row is unsaved where the visitor has no click that can be credited, which is no
    trouble and leaves no trace; and that of the earlier time where the same content was
    looked at after the same click less than half an hour ago. Raises InvalidEvent for
    what cannot be sent, and what the database raises.
    """
    if not isinstance(view, ViewContent):
        raise InvalidEvent("view", f"is a {type(view).__name__}; pass a ViewContent")
    if source.business is not None:
        known_business(source.business)
    using = using or router.db_for_write(Conversion)
    # By itself each statement is one: on SQLite a transaction that has read could not
    # wait for its turn to write.
    with savepoint(using):
        click = _click(source)
        if click is None or click._state.adding:
            return _nobodys()
        checked = ViewPayload.from_view(
            view, now=datetime.now(UTC), zone=timezone.get_current_timezone()
        )
        event_time = moment(checked.event_time)
        if click.business not in conf.BUSINESSES or fault_of(click, event_time):
            return _nobodys()
        slot = int(checked.event_time // ONCE_IN.total_seconds())
        keys = [_key(click.pk, checked, slot - past) for past in (0, 1)]
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
            value=checked.value,
            currency=checked.currency,
            body=body_json("ViewContent", payload_json(checked), click.landing),
        )
        row.credit(click)
        row.schedule(hold=0)
        try:
            with transaction.atomic(using=using):
                row.save(force_insert=True, using=using)
        except IntegrityError:
            return rows.get(key=keys[0])
        return row


def _click(source: Source) -> Attribution | None:
    """The visitor's; or the one that the caller names in another way."""
    now, request = timezone.now(), source.request
    named = (source.attribution, source.token, source.user, source.business)
    if request is not None and named == (None,) * len(named):
        return click_of(request, at=now)
    clue = Clue(
        event_time=now,
        attribution=source.attribution,
        token=source.token,
        request=request,
        user=source.user,
        business=source.business,
    )
    click = resolve(clue).click
    if click is not None and click._state.adding:
        store(click)
    return click


def _nobodys() -> Conversion:
    return Conversion(
        event_name=EventName.VIEW_CONTENT,
        business=DEFAULT_BUSINESS,
        state=State.SKIPPED,
        reason=Reason.NOT_ATTRIBUTED,
    )


def _key(click_id: UUID, view: ViewPayload, slot: int) -> str:
    text = f"{click_id.hex}\n{view.digest}\n{slot}"
    return hashlib.sha256(text.encode()).hexdigest()
