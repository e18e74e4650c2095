"""If the order committed, the conversion exists.

Nothing here waits for the network or for a broker, and nothing outside one savepoint
can harm the order's transaction.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, connections, router, transaction
from django.utils import timezone

from .attribution import business_of, is_at_hand, resolve, store
from .conf import conf
from .events import Purchase
from .exceptions import InvalidEvent
from .models import (
    Conversion,
    ConversionQuerySet,
    DbNow,
    EventName,
    Reason,
    State,
    key_of,
    moment,
)
from .payload import Payload, legible, text_of
from .wakeup import wake
from .wire import purchase_body

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django.http import HttpRequest

    from .models import Attribution

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an order's click and business are looked for, in this order.

    ``order`` is what a resolver of businesses gets: the shop's own order where there
    is one, else the event.
    """

    attribution: Attribution | UUID | str | None = None
    request: HttpRequest | None = None
    user: Any = None
    business: str | None = None
    order: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A row as it would be if it were the order's first, and its click."""

    row: Conversion
    click: Attribution | None = None


def record(
    event: Purchase,
    *,
    request: HttpRequest | None = None,
    user: Any = None,
    attribution: Attribution | UUID | str | None = None,
    business: str | None = None,
    using: str | None = None,
) -> Conversion:
    """Record a paid order in the order's own transaction: one row per order.

    ``attribution``, ``request`` and ``user`` say where to look for the click, in that
    order; ``business`` is an alias of the settings; ``using`` is the order's database,
    where our tables must be too.

    Returns the order's row: a new one, or that of an earlier call, which changes only
    where it was skipped and can be sent now. It is unsaved where the order has no click
    and ``RECORD_UNATTRIBUTED`` is off. What cannot be reported is a row as well,
    skipped with the field and what to do; under ``STRICT`` it raises InvalidEvent
    instead. Raises what the database raises, after rolling back to where it began.
    """
    source = Source(
        attribution=attribution,
        request=request,
        user=user,
        business=business,
        order=event,
    )
    return record_made(lambda: event, source, using=using)


def record_made(
    make: Callable[[], Purchase],
    source: Source,
    *,
    using: str | None = None,
    fault: InvalidEvent | None = None,
) -> Conversion:
    """As `record`, with the event made inside our savepoint, where the shop's code may
    query and fail. ``fault`` refuses the event, whatever it says.
    """
    using = using or router.db_for_write(Conversion)
    draft = None
    try:
        with transaction.atomic(using=using):
            _take_write_lock(using, source)
            event = make()
            draft = _draft(event, source, fault)
            if draft.row.reason != Reason.NOT_ATTRIBUTED or conf.RECORD_UNATTRIBUTED:
                return _insert(draft, using)
            return _same(draft.row, using).first() or draft.row
    except IntegrityError:
        if draft is None:
            raise  # the shop's own
    # Somebody was first: an earlier signal, or the same one on another connection.
    with transaction.atomic(using=using):
        return _merge(draft.row, using)


def _draft(event: Purchase, source: Source, fault: InvalidEvent | None) -> _Draft:
    """Reads, but writes nothing yet."""
    try:
        if fault:
            raise fault
        return _checked(event, source)
    except InvalidEvent as exc:
        if conf.STRICT:
            raise
        return _Draft(row=_refused(event, source, exc))


def _checked(event: Purchase, source: Source) -> _Draft:
    if not isinstance(event, Purchase):
        raise InvalidEvent("purchase", f"is a {type(event).__name__}; pass a Purchase")
    payload = Payload.from_purchase(
        event, now=datetime.now(UTC), zone=timezone.get_current_timezone()
    )
    event_time = moment(payload.event_time)
    found = resolve(
        event_time=event_time,
        attribution=source.attribution,
        request=source.request,
        user=source.user,
    )
    click = found.click
    row = Conversion(
        event_name=EventName.PURCHASE,
        business=_business(source, click),
        key=key_of(payload.order_id),
        order_id=payload.order_id,
        event_time=event_time,
        recorded_at=timezone.now(),
    )
    if click is not None:
        row.attribution_id = click.pk
        row.sendout_id, row.ad_id = click.sendout_id, click.ad_id
        row.clicked_at = click.captured_at
    if click is None or found.reason is not None:
        # Small, since it is nobody's business what a customer bought without a click.
        row.state, row.reason = State.SKIPPED, found.reason or Reason.NOT_ATTRIBUTED
        return _Draft(row=row, click=click)
    row.body = purchase_body(payload, click.landing)
    row.value, row.currency = payload.value, payload.currency
    if conf.SEND:
        row.state, row.due_at = State.PENDING, DbNow()
    else:
        row.state, row.reason = State.SKIPPED, Reason.SENDING_OFF
    return _Draft(row=row, click=click)


def _refused(event: object, source: Source, fault: InvalidEvent) -> Conversion:
    given = getattr(event, "order_id", None)
    order_id = legible(given)
    return Conversion(
        event_name=EventName.PURCHASE,
        business=_known(source.business) or business_of(source.request, source.order),
        # An order without an id is like no other.
        key=key_of((text_of(given) if order_id else None) or uuid.uuid4().hex),
        order_id=order_id,
        recorded_at=timezone.now(),
        state=State.SKIPPED,
        reason=Reason.INVALID,
        detail=str(fault),
    )


def _business(source: Source, click: Attribution | None) -> str:
    alias = source.business
    if alias is None and click is not None:
        alias = click.business
    if alias is None:
        alias = business_of(source.request, source.order)
    if not _known(alias):
        names = ", ".join(conf.BUSINESSES)
        raise InvalidEvent("business", f"is none of those in the settings: {names}")
    return alias


def _known(alias: object) -> str:
    return alias if isinstance(alias, str) and alias in conf.BUSINESSES else ""


def _insert(draft: _Draft, using: str) -> Conversion:
    row, click = draft.row, draft.click
    if click is not None and click._state.adding:
        store(click)  # a click that only the session had so far
    if connections[using].vendor == "mysql":
        # A duplicate's error leaves a shared lock there, and two orders that hold one
        # and want to read the row for update end each other's transaction.
        Conversion.objects.using(using).bulk_create(
            [row], update_conflicts=True, update_fields=["key"]
        )
        row = _merge(row, using)
    else:
        row.save(force_insert=True, using=using)
    _follow(row, using)
    return row


def _merge(draft: Conversion, using: str) -> Conversion:
    """The row that was there first; mended where only this draft can be sent."""
    same = _same(draft, using)
    # Locked, since a snapshot of MySQL's would not show what has just been committed.
    row = same.select_for_update().get()
    if draft.body and row.is_mendable:
        fields = {
            field.attname: getattr(draft, field.attname)
            for field in Conversion._meta.concrete_fields
            if not field.primary_key and field.attname not in {"key", "recorded_at"}
        }
        same.update(**fields)
        row.refresh_from_db(using=using)
        _follow(row, using)
    return row


def _same(draft: Conversion, using: str) -> ConversionQuerySet:
    return Conversion.objects.using(using).filter(
        event_name=draft.event_name, business=draft.business, key=draft.key
    )


def _follow(row: Conversion, using: str) -> None:
    if row.state == State.PENDING:
        # Read back only if somebody asks: the database's clock has set it.
        row.__dict__.pop("due_at", None)
        transaction.on_commit(wake, using=using)


def _take_write_lock(using: str, source: Source) -> None:
    """On SQLite a transaction that begins with a read cannot become a writer while
    another one writes, so ours begins with a write, if only of nothing.
    """
    connection = connections[using]
    options = connection.settings_dict.get("OPTIONS", {})
    if connection.vendor != "sqlite" or options.get("transaction_mode"):
        return
    # Inside the order's transaction the shop has mostly written by now.
    is_ours = len(connection.savepoint_ids) == 0
    reads_nothing = is_at_hand(source.attribution, source.request)
    if is_ours or not reads_nothing:
        Conversion.objects.using(using).filter(pk=0).update(attempts=0)
