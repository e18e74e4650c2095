"""Takes what is due, in one short transaction, so that no two workers hold a row."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db import connections, transaction
from django.utils import timezone

from ..models import Conversion, DeliveryAttempt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from uuid import UUID

_COLUMNS: Final = ("pk", "body", "attempts", "unconfirmed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """One row in hand. ``attempts`` counts this one."""

    pk: int
    body: str
    attempts: int
    unconfirmed: int
    attempt_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows held under one token. ``claimed_at``: monotonic, before the claim."""

    business: str
    token: UUID
    rows: tuple[Claimed, ...]
    claimed_at: float


def is_any_due(businesses: Collection[str], *, using: str) -> bool:
    """The idle poll: one statement, which reads the index where it begins."""
    due = Conversion.objects.using(using).due(businesses).order_by()
    return bool(due.values_list("pk")[:1])


def claim(business: str, limit: int, *, lease: float, using: str) -> Batch | None:
    """Take up to so many due rows of one business; None where none is left.

    The attempts are written with the claim: one that is left unfinished says that
    nobody knows what came of it.
    """
    claimed_at = time.monotonic()
    token = uuid.uuid4()
    due = Conversion.objects.using(using).due([business]).order_by("due_at")
    if connections[using].features.has_select_for_update_skip_locked:
        with transaction.atomic(using=using):
            locked = due.select_for_update(skip_locked=True)
            rows = list(locked.values_list(*_COLUMNS)[:limit])
            held = Conversion.objects.using(using).filter(
                pk__in=[row[0] for row in rows]
            )
            if rows:
                held.mark_sending(token, lease)
            claimed = _attempted(rows, using)
    else:
        ids = list(due.values_list("pk", flat=True)[:limit])
        with transaction.atomic(using=using):
            # Begins with the write, as SQLite wants it, and takes what is still due.
            mine = Conversion.objects.using(using).filter(pk__in=ids)
            taken = ids and mine.due([business]).mark_sending(token, lease)
            found = mine.held_by(token).values_list(*_COLUMNS) if taken else []
            claimed = _attempted(
                ((pk, body, tried - 1, bare) for pk, body, tried, bare in found), using
            )
    if not claimed:
        return None
    return Batch(business=business, token=token, rows=claimed, claimed_at=claimed_at)


def _attempted(
    rows: Iterable[tuple[int, str, int, int]], using: str
) -> tuple[Claimed, ...]:
    claimed = tuple(
        Claimed(
            pk=pk,
            body=body,
            attempts=attempts + 1,
            unconfirmed=unconfirmed,
            attempt_id=uuid.uuid4(),
        )
        for pk, body, attempts, unconfirmed in rows
    )
    now = timezone.now()
    DeliveryAttempt.objects.using(using).bulk_create(
        DeliveryAttempt(id=row.attempt_id, conversion_id=row.pk, started_at=now)
        for row in claimed
    )
    return claimed
