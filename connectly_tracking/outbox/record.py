"""Writes an order's row in the order's own transaction, inside one savepoint.

An order id may come again: with the same content it is a retry; else it is noted, since
a shop may use a number twice, for a cancelled order and for the next customer's.
"""

from __future__ import annotations

import json
import logging
import re
from copy import copy
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import connections, transaction

from ..api.values import amount_text
from ..attribution import ClickSource
from ..attribution.clicks import store_click
from ..attribution.consent import apply_consent, awaits_consent
from ..conf import conf
from ..events import ViewContent
from ..models import (
    AWAITING_CLICK,
    Attribution,
    Conversion,
    ConversionQuerySet,
    Reason,
    State,
)
from ..wakeup import wake
from .databases import check_database, database_for
from .draft import Draft, PaidOrder, draft_of
from .view import record_view

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest

    from ..events import Purchase
    from ..exceptions import InvalidEvent

#: SQLite keeps so many digits of a decimal; a difference after them is no difference.
_STORED: Final = Context(prec=15)
_MAX_DETAIL: Final = 1980  # characters, and a few for "And 7 more."
_MORE: Final = re.compile(r" And (\d+) more\.$")

logger = logging.getLogger(__name__)


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
    """Record a paid order, in its own transaction, or a content view.

    There is one row for each order.

    The click is looked for in ``attribution``, in ``token`` (of `make_token`), in the
    binding of the order's id, in ``request`` and by ``user``, in this order. A click of
    the request that is newer than the binding comes before it. If ``request`` is of a
    logged-in person other than ``user``, its click is not the customer's.
    ``business`` is an alias of the settings, ``using`` one of the order's database,
    which must be that of the conversions.

    Returns the order's row: a new one, or that of an earlier call, which only changes
    if it was skipped and more is known now, such as its click. It is unsaved if the
    order has no click and ``RECORD_UNATTRIBUTED`` is off. An invalid order has a
    skipped row that names the field, or raises InvalidEvent under ``STRICT``. Raises
    any database error, after rolling back its own statements.

    A ViewContent only has a row if a click can be credited, one in half an hour. An
    invalid one raises InvalidEvent.
    """
    source = ClickSource(
        attribution=attribution,
        token=token,
        request=request,
        user=user,
        business=business,
        order=event,
    )
    if isinstance(event, ViewContent):
        return record_view(event, source, using=using)
    return record_order(PaidOrder(purchase=event), source, using=using)


def record_order(
    order: PaidOrder,
    source: ClickSource,
    *,
    using: str | None = None,
    problem: InvalidEvent | None = None,
    is_backfill: bool = False,
) -> Conversion:
    """As `record`, but the event is made in our savepoint, as ORDER_ADAPTER may fail.

    ``problem`` makes the order invalid, whatever the event says. A backfill does not
    wake the workers, and expires at once what is too old to be sent.
    """
    using = database_for(using)
    if source.request is not None and awaits_consent(source.request):
        # By itself: the visitor's answer holds even if our INSERT is rolled back.
        with transaction.atomic(using=using):
            _take_write_lock(using, source, is_backfill)
            apply_consent(source.request)
    with transaction.atomic(using=using):
        _take_write_lock(using, source, is_backfill)
        event = order.make()
        # A backfilled order is committed already; a faulty signal names none.
        is_committing = problem is None and not is_backfill
        placed = order.order if is_committing else None
        check_database(placed, using, name=order.log_name)
        row, may_be_due = _write(draft_of(event, source, problem), source, using)
        if may_be_due and row.state == State.PENDING and not (is_backfill or conf.HOLD):
            # In the block, since Django refuses it outside if the shop has switched
            # autocommit off.
            transaction.on_commit(wake, using=using)
    if is_backfill and may_be_due:
        row.expire_if_too_old(using=using)
    return row


def _write(draft: Draft, source: ClickSource, using: str) -> tuple[Conversion, bool]:
    """Return the order's row, and whether this draft has inserted or replaced it."""
    row = draft.row
    has_other_businesses = source.business is None and len(conf.BUSINESSES) > 1
    if has_other_businesses and _joins_other_row(draft, source, using):
        return _merge(draft, using, may_replace=False)
    if row.reason == Reason.NOT_ATTRIBUTED and not conf.RECORD_UNATTRIBUTED:
        rows = _same(row, using)
        earlier = rows.first()
        if earlier and earlier.reason == Reason.INVALID:
            # Locked, since another signal may bring its click at this moment.
            earlier = rows.filter(pk=earlier.pk).locked(skip=False).first()
            if earlier and earlier.reason == Reason.INVALID and earlier.is_replaceable:
                earlier.delete(using=using)
                earlier = None
        if earlier:
            note_repeat(rows, earlier, draft)
        return earlier or row, False
    if connections[using].vendor == "mysql":
        return _upsert(draft, using), True
    if not row.insert(using=using):
        # An earlier signal, perhaps on another connection, recorded the order.
        return _merge(draft, using)
    if draft.click is not None:
        store_click(draft.click)
    if row.state == State.PENDING:
        # The database's clock has set it: read back only if it is needed.
        row.__dict__.pop("due_at", None)
    return row, True


def _joins_other_row(draft: Draft, source: ClickSource, using: str) -> bool:
    """Whether another business has the order's row, which stays as it is.

    Several hosts may report one order. One that is credited takes the row over; so does
    one that says more, if amount and time are the same: else it may be another order
    with that number. Without a click it joins the row; with another click only if
    amount and time are the same.
    """
    row = draft.row
    rows = Conversion.objects.using(using).of_order(row.order_id)
    found = list(rows) if row.order_id else []
    if not found or row.business in {each.business for each in found}:
        return False
    other, is_same = found[0], _is_same_order(draft, found[0])
    if other.is_replaceable and (row.body or (is_same and _says_more(row, other))):
        skipped = rows.filter(pk=other.pk, state=State.SKIPPED)
        if skipped.update(business=row.business):
            return False
    if not row.body or (source.attribution is None and is_same):
        row.business = other.business
        return True
    logger.warning(
        "order_id_in_two_businesses order_id=%s business=%s other_business=%s "
        "other_row=%s",
        row.order_id,
        row.business,
        other.business,
        other.pk,
    )
    return False


def _is_same_order(draft: Draft, other: Conversion) -> bool:
    came = _amount_of_draft(draft)
    differs = came is None or came.differs(_amount_of(other))
    # Of an invalid order neither amount nor time is known.
    return other.event_time in (None, draft.row.event_time) and not differs


def _upsert(draft: Draft, using: str) -> Conversion:
    """Insert the row on MySQL, or merge it with the order's row, without an error.

    The error of a duplicate leaves a shared lock. Two orders that hold one and want to
    read the row for update would end each other's transaction.
    """
    # A copy, since MariaDB returns what an earlier row has.
    Conversion.objects.using(using).bulk_create(
        [copy(draft.row)], update_conflicts=True, update_fields=["key"]
    )
    row, _is_replaced = _merge(draft, using)
    # Of an earlier row the click may have been erased.
    if draft.click is not None and row.recorded_at == draft.row.recorded_at:
        store_click(draft.click)
    return row


def _merge(
    draft: Draft, using: str, *, may_replace: bool = True
) -> tuple[Conversion, bool]:
    """Return the row that was there first, and whether the draft has replaced it."""
    same = _same(draft.row, using)
    # Locked, since a snapshot of MySQL does not show what was committed just now.
    row = same.locked(skip=False).get()
    if not (may_replace and row.is_replaceable and _says_more(draft.row, row)):
        note_repeat(same, row, draft)
        return row, False
    draft.row.user_id = draft.row.user_id or row.user_id
    note_replaced(row, draft)
    if draft.click is not None:
        store_click(draft.click)
    fields = {
        field.attname: getattr(draft.row, field.attname)
        for field in Conversion._meta.concrete_fields
        if not field.primary_key and field.attname not in {"key", "recorded_at"}
    }
    same.update(**fields)
    row.refresh_from_db(using=using)
    return row, True


def _says_more(draft: Conversion, row: Conversion) -> bool:
    """Whether the draft brings what the skipped row lacks: valid data, any click, one
    that the visitor's answer may still bring, or one that is credited.
    """
    if draft.body:
        return True
    if draft.reason not in AWAITING_CLICK:
        return False
    of_any_click = 2
    rank = {Reason.INVALID: 0, Reason.NOT_ATTRIBUTED: 1, Reason.CONSENT_PENDING: 3}
    came, known = (rank.get(Reason(it.reason), of_any_click) for it in (draft, row))
    return came > known


def _same(row: Conversion, using: str) -> ConversionQuerySet:
    return Conversion.objects.using(using).filter(
        event_name=row.event_name, business=row.business, key=row.key
    )


def _take_write_lock(using: str, source: ClickSource, is_backfill: bool) -> None:
    """On SQLite, begin with a write, if only of no row.

    A transaction that begins with a read cannot become a writer while another writes.
    """
    connection = connections[using]
    options = connection.settings_dict.get("OPTIONS", {})
    mode = options.get("transaction_mode") or "DEFERRED"
    if connection.vendor != "sqlite" or mode.upper() != "DEFERRED":
        return
    # In the order's own transaction the shop has mostly written by now.
    is_ours = len(connection.savepoint_ids) == 0
    if is_ours or is_backfill or not issubclass(type(source.attribution), Attribution):
        Conversion.objects.using(using).filter(pk=0).update(attempts=0)


class Amount(NamedTuple):
    value: Decimal
    currency: str

    def __str__(self) -> str:
        return f"{amount_text(self.value)} {self.currency}"  # it is stored

    def differs(self, other: Amount | None) -> bool:
        """Whether both are known, and not the same."""
        if other is None:
            return False
        values = _STORED.plus(self.value), _STORED.plus(other.value)
        return values[0] != values[1] or self.currency != other.currency


def note_repeat(rows: ConversionQuerySet, row: Conversion, draft: Draft) -> None:
    """Log each time that an order comes again with another value or another click.

    ``rows`` finds the row, which gets a note and stays as it is otherwise.
    """
    notes, other = [], draft.row
    kept, came = _amount_of(row), _amount_of_draft(draft)
    if came is not None and came.differs(kept):
        notes.append(
            f"The shop sent this order id again with {came}; the first value is kept."
        )
    # A click that cannot be credited is that of a customer who came back.
    if other.body and row.attribution_id not in (None, other.attribution_id):
        notes.append(
            "The shop sent this order id again with another click (campaign "
            f"{other.sendout_id}), which is not credited."
        )
    if not notes:
        return
    _log(row, kept, came, row.attribution_id, other.attribution_id)
    detail = _with_notes(row.detail, notes)
    if detail != row.detail:
        row.detail = detail
        rows.filter(pk=row.pk).update(detail=detail)


def _with_notes(detail: str, notes: list[str]) -> str:
    """Add each note that is not there yet. Those without room are only counted."""
    for note in notes:
        if note in detail:
            continue
        more = _MORE.search(detail)
        kept, count = _MORE.sub("", detail), int(more[1]) if more else 0
        longer = f"{kept} {note}".strip()
        if len(longer) > _MAX_DETAIL:
            longer, count = kept, count + 1
        detail = f"{longer} And {count} more." if count else longer
    return detail


def note_replaced(row: Conversion, draft: Draft) -> None:
    """As `note_repeat`, if the draft is about to replace the row."""
    kept, came = _amount_of(row), _amount_of_draft(draft)
    if came is not None and kept is not None and came.differs(kept):
        note = f"The shop first sent this order id with {kept}; the new value is used."
        draft.row.detail = f"{draft.row.detail} {note}".strip()
        _log(row, kept, came, row.attribution_id, draft.row.attribution_id)


def _amount_of(row: Conversion) -> Amount | None:
    """Return the amount of a row, which may still wait for its click; None: unknown."""
    if row.value is not None:
        return Amount(row.value, row.currency)
    if not row.payload:
        return None
    found = json.loads(row.payload, parse_float=Decimal, parse_int=Decimal)
    return Amount(found["value"], found["currency"])


def _amount_of_draft(draft: Draft) -> Amount | None:
    checked = draft.payload
    return None if checked is None else Amount(checked.value, checked.currency)


def _log(row: Conversion, kept: object, came: object, *clicks: object) -> None:
    logger.warning(
        "order_id_repeated order_id=%s row=%s value='%s' other_value='%s' click=%s "
        "other_click=%s",
        row.order_id,
        row.pk,
        *(amount or "unknown" for amount in (kept, came)),
        *(click or "none" for click in clicks),
    )
