"""Writes an order's row in the order's own transaction, inside one savepoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, connections, router, transaction

from ..attribution import is_awaited, settle, store
from ..conf import conf
from ..events import ViewContent
from ..models import Attribution, Conversion, ConversionQuerySet, Reason, State
from ..wakeup import wake
from .draft import Draft, Source, draft_of
from .view import record_view

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django.http import HttpRequest

    from ..events import Purchase
    from ..exceptions import InvalidEvent


def record(
    event: Purchase | ViewContent,
    *,
    request: HttpRequest | None = None,
    user: Any = None,
    attribution: Attribution | UUID | str | None = None,
    token: str | None = None,
    business: str | None = None,
    using: str | None = None,
) -> Conversion:
    """Record a paid order in the order's own transaction: one row per order.

    ``attribution``, ``token`` (of `make_token`), what was bound to the order's id,
    ``request`` and ``user`` say where to look for the click, in that order;
    ``business`` is an alias of the settings; ``using`` is the order's database,
    where our tables must be too.

    Returns the order's row: a new one, or that of an earlier call, which changes only
    where it was skipped and can be sent now. It is unsaved where the order has no click
    and ``RECORD_UNATTRIBUTED`` is off. What cannot be reported is a row as well,
    skipped with the field and what to do; under ``STRICT`` it raises InvalidEvent
    instead. Raises what the database raises, after rolling back to where it began.

    A ViewContent has a row only where a click can be credited, once in half an hour;
    what cannot be sent raises InvalidEvent.
    """
    source = Source(
        attribution=attribution,
        token=token,
        request=request,
        user=user,
        business=business,
        order=event,
    )
    if isinstance(event, ViewContent):
        return record_view(event, source, using=using)
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
    if source.request is not None and is_awaited(source.request):
        # Apart: the visitor's answer stands, even where our INSERT is rolled back.
        with transaction.atomic(using=using):
            _take_write_lock(using, source)
            settle(source.request)
    try:
        with transaction.atomic(using=using):
            _take_write_lock(using, source)
            event = make()
            draft = draft_of(event, source, fault)
            is_free = source.business is None and len(conf.BUSINESSES) > 1
            if is_free and _has_joined(draft.row, using):
                return _merge(draft, source, using)
            if draft.row.reason != Reason.NOT_ATTRIBUTED or conf.RECORD_UNATTRIBUTED:
                return _insert(draft, source, using)
            return _same(draft.row, using).first() or draft.row
    except IntegrityError:
        if draft is None:
            raise  # the shop's own
    # Somebody was first: an earlier signal, or the same one on another connection.
    with transaction.atomic(using=using):
        return _merge(draft, source, using)


def _has_joined(draft: Conversion, using: str) -> bool:
    """Behind several hosts one order is one row: what has no click goes where the other
    is. Two that have clicks of two businesses are two orders with one number.
    """
    rows = Conversion.objects.using(using)
    found = rows.of_order(draft.order_id).exclude(business=draft.business)
    other = found.first() if draft.order_id else None
    if other is None:
        return False
    if not draft.body:
        draft.business = other.business
        return True
    mine = found.filter(pk=other.pk, state=State.SKIPPED)
    return other.is_mendable and bool(mine.update(business=draft.business))


def _insert(draft: Draft, source: Source, using: str) -> Conversion:
    row = draft.row
    if draft.click is not None:
        store(draft.click)
    if connections[using].vendor == "mysql":
        # A duplicate's error leaves a shared lock there, and two orders that hold one
        # and want to read the row for update end each other's transaction.
        Conversion.objects.using(using).bulk_create(
            [row], update_conflicts=True, update_fields=["key"]
        )
        row = _merge(draft, source, using, follow=False)
    else:
        row.save(force_insert=True, using=using)
    _follow(row, source, using)
    return row


def _merge(
    draft: Draft, source: Source, using: str, *, follow: bool = True
) -> Conversion:
    """The row that was there first; mended where only this draft can be sent."""
    same = _same(draft.row, using)
    # Locked, since a snapshot of MySQL's would not show what has just been committed.
    row = same.locked(skip=False).get()
    if draft.row.body and row.is_mendable:
        if draft.click is not None:
            store(draft.click)  # its INSERT may have been rolled back with the row's
        fields = {
            field.attname: getattr(draft.row, field.attname)
            for field in Conversion._meta.concrete_fields
            if not field.primary_key and field.attname not in {"key", "recorded_at"}
        }
        same.update(**fields)
        row.refresh_from_db(using=using)
        if follow:
            _follow(row, source, using)
    return row


def _same(draft: Conversion, using: str) -> ConversionQuerySet:
    return Conversion.objects.using(using).filter(
        event_name=draft.event_name, business=draft.business, key=draft.key
    )


def _follow(row: Conversion, source: Source, using: str) -> None:
    if row.state == State.PENDING:
        # Read back only if somebody asks: the database's clock has set it.
        row.__dict__.pop("due_at", None)
        if not (source.quiet or conf.HOLD):
            transaction.on_commit(wake, using=using)


def _take_write_lock(using: str, source: Source) -> None:
    """On SQLite a transaction that begins with a read cannot become a writer while
    another one writes, so ours begins with a write, if only of nothing.
    """
    connection = connections[using]
    options = connection.settings_dict.get("OPTIONS", {})
    mode = options.get("transaction_mode") or "DEFERRED"
    if connection.vendor != "sqlite" or mode.upper() != "DEFERRED":
        return
    # Inside the order's transaction the shop has mostly written by now.
    is_ours = len(connection.savepoint_ids) == 0
    if is_ours or source.quiet or not isinstance(source.attribution, Attribution):
        Conversion.objects.using(using).filter(pk=0).update(attempts=0)
