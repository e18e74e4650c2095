"""Takes due rows in one short transaction, so that no two workers hold the same row.

End rows that may no longer be sent. Claim rows that may have crashed a worker alone: if
that happens again, no other row is held up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID, uuid4

from django.db.models import DateTimeField, Value

from ..models import (
    ConversionQuerySet,
    DbNow,
    DeliveryAttempt,
    OfCircuit,
    Reason,
    State,
    age_field,
    greatest_age,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from .run import Run

MAX_CRASHES: Final = 5
MAX_EXPIRED_AT_ONCE: Final = 500  # rows in one transaction

#: How a due row ends that may not be sent, by the state that it ends in.
_ENDINGS: Final[Mapping[State, Callable[[ConversionQuerySet], int]]] = {
    State.SKIPPED: ConversionQuerySet.mark_cancelled,
    State.EXPIRED: ConversionQuerySet.mark_expired,
    State.REJECTED: ConversionQuerySet.mark_crashed,
}


class Claimed(NamedTuple):
    """A due row. Once it is claimed, ``attempts`` includes this one.

    The clocks at its claim, in this order: ``claimed_at`` (monotonic, from which its
    lease counts), ``read_at`` (the database's), ``seen_at`` (monotonic). ``token`` is
    the claim's, ``lease_token`` that of the one before.
    """

    pk: int
    body: str
    state: str
    reason: str
    attempts: int
    unconfirmed: int
    crashes: int
    event_time: datetime | None
    recorded_at: datetime
    replayed_at: datetime | None
    cancelled_at: datetime | None
    due_at: datetime
    lease_token: UUID | None
    read_at: datetime
    token: UUID
    claimed_at: float
    seen_at: float

    @property
    def attempt_id(self) -> UUID:
        return attempt_id(self.token, self.pk)

    @property
    def was_left_behind(self) -> bool:
        """Its worker claimed it and never wrote down a result."""
        return self.state == State.SENDING

    @property
    def may_crash(self) -> bool:
        return self.was_left_behind or self.crashes > 0

    def counted(self) -> Claimed:
        crashes = self.crashes + self.was_left_behind
        return self._replace(attempts=self.attempts + 1, crashes=crashes)

    def ends_as(self, greatest_age: timedelta, age_field: str) -> State | None:
        """The state to end it in, or None if it may be sent.

        Its age counts from the time in ``age_field``.
        """
        is_withdrawn = self.reason == Reason.CONSENT_WITHDRAWN
        if is_withdrawn or self.cancelled_at is not None:
            return State.SKIPPED
        # The age of a replayed row counts from the replay.
        times = [at for at in (getattr(self, age_field), self.replayed_at) if at]
        if times and self.read_at - max(times) > greatest_age:
            return State.EXPIRED
        if self.was_left_behind and self.crashes >= MAX_CRASHES:
            return State.REJECTED
        return None


#: What a claim reads: the row, and the circuit of its business.
_OF_CIRCUIT: Final = ("paused_until", "changed_at")
_COLUMNS: Final = (*Claimed._fields[:-3], *_OF_CIRCUIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows claimed under one token. ``claimed_at``: monotonic, before the claim.

    ``ended``: rows that were due but may not be sent, by key, and their new states.
    ``is_paused``: there are due rows, and none was claimed. ``changed_at``: when the
    business was paused, or flowed again, for the last time. ``last_due_at``: when the
    last of its rows was due.
    """

    business: str
    token: UUID
    claimed_at: float
    rows: tuple[Claimed, ...] = ()
    ended: Mapping[int, State] = field(default_factory=dict)
    is_paused: bool = False
    changed_at: datetime | None = None
    last_due_at: datetime | None = None

    @property
    def size(self) -> int:
        return len(self.rows) + len(self.ended)


def claim(
    run: Run,
    business: str,
    limit: int,
    *,
    is_probe: bool = False,
    is_extra: bool = False,
    since: datetime | None = None,
) -> Batch | None:
    """Claim up to ``limit`` due rows of a business. Returns None if none is due.

    The oldest rows, unless the business is paused. A probe is claimed even then: of the
    oldest rows those with the fewest attempts, so that a row that always fails does not
    make an outage last. While others are under way (``is_extra``), no row is claimed
    that may have crashed a worker. ``since``: none that was due before then is looked
    for, so that PostgreSQL need not pass over those that were claimed: while an old
    transaction is open, they stay in the index.

    An attempt is written with its result. Whoever finds a row that was left behind
    writes that attempt, too: its result is unknown.
    """
    batch = _new_batch(business)
    with run.atomic():
        due = run.conversions.due([business]).locked(skip=True)
        if since is not None:
            due = due.filter(due_at__gte=since)
        most = run.settings.BATCH if is_probe else limit
        timed = due.annotate(read_at=DbNow(), **_circuit_of(run, business))
        columns = list(timed.values_list(*_COLUMNS)[:most])
        if not columns:
            return None
        *_row, paused_until, changed_at = columns[0]
        if not run.reads_circuit_with_rows:
            circuit = run.circuits.filter(pk=business).values_list(*_OF_CIRCUIT)
            paused_until, changed_at = circuit.first() or (None, None)
        last_due_at = columns[-1][_COLUMNS.index("due_at")]
        batch = replace(batch, changed_at=changed_at, last_due_at=last_due_at)
        if paused_until is not None and not is_probe:
            return replace(batch, is_paused=True)
        ours = (batch.token, batch.claimed_at, time.monotonic())
        found = [Claimed._make((*row[:-2], *ours)) for row in columns]
        ended = _end_unsendable(run, found)
        rows = [row for row in found if row.pk not in ended]
        if is_probe:
            rows = sorted(rows, key=lambda row: row.attempts)[:limit]
        # The oldest row decides, so that neither kind waits for the other to run out.
        if rows and rows[0].may_crash and not is_extra:
            rows = rows[:1]
        else:
            rows = [row for row in rows if not row.may_crash]
        taken = {row.pk for row in rows} | ended.keys()
        write_unknown(
            run,
            [(it.pk, it.lease_token, it.due_at) for it in found if it.pk in taken],
        )
        if rows:
            claimed = run.conversions.filter(pk__in=[row.pk for row in rows])
            crashes = int(rows[0].was_left_behind)  # then it is alone
            claimed.mark_sending(batch.token, run.settings.LEASE, crashes=crashes)
    return replace(batch, rows=tuple(row.counted() for row in rows), ended=ended)


def expire(run: Run, business: str, limit: int) -> Batch | None:
    """End up to ``limit`` rows that became too old while their business is paused.

    Returns a batch with nothing to send, or None if no row was too old.
    """
    age = greatest_age(run.settings)
    with run.atomic():
        due = run.conversions.due([business]).locked(skip=True)
        old = due.older_than(age, run.settings)
        old = old.exclude(reason=Reason.CONSENT_WITHDRAWN)  # it has its reason already
        leases = old.values_list("pk", "lease_token", "due_at")
        found = list(leases[: min(limit, MAX_EXPIRED_AT_ONCE)])
        if not found:
            return None
        keys = [pk for pk, _token, _due_at in found]
        write_unknown(run, found)
        run.conversions.filter(pk__in=keys).mark_expired()
    return replace(_new_batch(business), ended=dict.fromkeys(keys, State.EXPIRED))


def _circuit_of(run: Run, business: str) -> dict[str, Any]:
    """What a claim reads of the circuit beside each row; NULL if it reads it later."""
    if run.reads_circuit_with_rows:
        return {
            name: OfCircuit(name, business, DateTimeField()) for name in _OF_CIRCUIT
        }
    return {name: Value(None, DateTimeField()) for name in _OF_CIRCUIT}


def _new_batch(business: str) -> Batch:
    return Batch(business=business, token=uuid4(), claimed_at=time.monotonic())


def _end_unsendable(run: Run, found: Sequence[Claimed]) -> dict[int, State]:
    limit = greatest_age(run.settings), age_field(run.settings)
    ended = {row.pk: state for row in found if (state := row.ends_as(*limit))}
    for state, mark in _ENDINGS.items():
        if keys := [pk for pk, its_state in ended.items() if its_state == state]:
            mark(run.conversions.filter(pk__in=keys))
    return ended


def write_unknown(
    run: Run, leases: Iterable[tuple[int, UUID | None, datetime | None]]
) -> None:
    """Write the attempts of rows that their holders lose, by key, token and end of the
    lease. A result that still comes will replace this.
    """
    lease = timedelta(seconds=run.settings.LEASE)
    run.attempts.bulk_create(
        [
            DeliveryAttempt(
                id=attempt_id(token, pk), conversion_id=pk, started_at=until - lease
            )
            for pk, token, until in leases
            if token and until
        ],
        ignore_conflicts=True,
    )


def attempt_id(token: UUID, pk: int) -> UUID:
    """Any worker can tell it from the row; those of a batch are close in the index."""
    return UUID(int=token.int >> 64 << 64 | pk)
