"""Takes what is due, in one short transaction, so that no two workers hold a row.

What must not be sent any more is ended here. What may have stopped a worker is taken
alone: if it does so again, nothing else is held up.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from django.db import transaction
from django.utils import timezone

from ..conf import conf
from ..models import (
    Conversion,
    ConversionQuerySet,
    DeliveryAttempt,
    Reason,
    State,
    oldest_sent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

MAX_CRASHES: Final = 5
SLICE: Final = 500  # rows that are ended in one transaction

_ENDS: Final[Mapping[Reason, tuple[State, Callable[[ConversionQuerySet], int]]]] = {
    Reason.CANCELLED: (State.SKIPPED, ConversionQuerySet.mark_cancelled),
    Reason.EXPIRED: (State.EXPIRED, ConversionQuerySet.mark_expired),
    Reason.INTERNAL: (State.REJECTED, ConversionQuerySet.mark_worn_out),
}


class _Row(NamedTuple):
    pk: int
    body: str
    state: str
    attempts: int
    unconfirmed: int
    crashes: int
    event_time: datetime | None
    replayed_at: datetime | None
    cancelled_at: datetime | None

    @property
    def was_left_behind(self) -> bool:
        """Its worker took it and was never heard of again."""
        return self.state == State.SENDING

    @property
    def is_suspect(self) -> bool:
        return self.was_left_behind or self.crashes > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """One row in hand. ``attempts`` counts this one, and those before a replay."""

    pk: int
    body: str
    attempts: int
    unconfirmed: int
    crashes: int
    attempt_id: UUID
    replayed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows held under one token. ``claimed_at``: monotonic, before the claim.

    ``ended``: rows that were due, but are not to be sent any more, and their states.
    """

    business: str
    token: UUID
    claimed_at: float
    rows: tuple[Claimed, ...] = ()
    ended: tuple[tuple[int, State], ...] = ()


def is_any_due(businesses: Collection[str], *, using: str) -> bool:
    """The idle poll: one statement, which reads the index where it begins."""
    due = Conversion.objects.using(using).due(businesses)
    return bool(due.values_list("pk")[:1])


def claim(
    business: str, limit: int, *, lease: float, fresh_first: bool = False, using: str
) -> Batch | None:
    """Take up to so many due rows of one business; None where none is left.

    The oldest; or of those the ones that were tried least, where an outage must not be
    told by a row that always fails.

    The attempts are written with the claim: one that is left unfinished says that
    nobody knows what came of it.
    """
    batch = Batch(business=business, token=uuid.uuid4(), claimed_at=time.monotonic())
    conversions = Conversion.objects.using(using)
    with transaction.atomic(using=using):
        due = conversions.due([business]).locked(skip=True)
        most = conf.BATCH if fresh_first else limit
        found = [_Row(*row) for row in due.values_list(*_Row._fields)[:most]]
        if not found:
            return None
        live, ended = _parted(found, conversions)
        if fresh_first:
            live = sorted(live, key=lambda row: row.attempts)[:limit]
        # The oldest decides, so that neither kind waits for the other to run dry.
        if live and live[0].is_suspect:
            mine, crashes = live[:1], int(live[0].was_left_behind)
        else:
            mine, crashes = [row for row in live if not row.is_suspect], 0
        if mine:
            held = conversions.filter(pk__in=[row.pk for row in mine])
            held.mark_sending(batch.token, lease, crashes=crashes)
        return replace(batch, rows=_attempted(mine, crashes, using), ended=ended)


def expire(business: str, limit: int = SLICE, *, using: str) -> list[int]:
    """End what has become too old while the business is paused. Returns which rows."""
    oldest, conversions = oldest_sent(), Conversion.objects.using(using)
    with transaction.atomic(using=using):
        due = conversions.due([business]).locked(skip=True)
        old = due.filter(event_time__lt=oldest).exclude(replayed_at__gte=oldest)
        gone = list(old.values_list("pk", flat=True)[: min(limit, SLICE)])
        if gone:
            conversions.filter(pk__in=gone).mark_expired()
    return gone


def _parted(
    found: Sequence[_Row], conversions: ConversionQuerySet
) -> tuple[list[_Row], tuple[tuple[int, State], ...]]:
    """What may be sent; and what may not, which is ended."""
    fates = [(row, _fate(row)) for row in found]
    ended = list[tuple[int, State]]()
    for reason, (state, mark) in _ENDS.items():
        if gone := [row.pk for row, fate in fates if fate == reason]:
            mark(conversions.filter(pk__in=gone))
            ended += [(pk, state) for pk in gone]
    return [row for row, fate in fates if fate is None], tuple(ended)


def _fate(row: _Row) -> Reason | None:
    """Why it is not to be sent any more, if so."""
    if row.cancelled_at is not None:
        return Reason.CANCELLED
    if _is_too_old(row):
        return Reason.EXPIRED
    if row.was_left_behind and row.crashes >= MAX_CRASHES:
        return Reason.INTERNAL
    return None


def _is_too_old(row: _Row) -> bool:
    # A person who sends it again decides that it is worth sending.
    times = [at for at in (row.event_time, row.replayed_at) if at is not None]
    return bool(times) and max(times) < oldest_sent()


def _attempted(rows: Sequence[_Row], crashes: int, using: str) -> tuple[Claimed, ...]:
    claimed = tuple(
        Claimed(
            pk=row.pk,
            body=row.body,
            attempts=row.attempts + 1,
            unconfirmed=row.unconfirmed,
            crashes=row.crashes + crashes,
            attempt_id=uuid.uuid4(),
            replayed_at=row.replayed_at,
        )
        for row in rows
    )
    now = timezone.now()
    DeliveryAttempt.objects.using(using).bulk_create(
        DeliveryAttempt(id=row.attempt_id, conversion_id=row.pk, started_at=now)
        for row in claimed
    )
    return claimed
