"""A state of the world: the tables, the workers' memory, the clocks and the API.

States are compared by `key`, in which only what can matter later is left: times are
relative to now, tokens are their holders, and the two workers are interchangeable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import connection

from connectly_tracking.models import Circuit, Conversion, DeliveryAttempt, State
from tests.statemachine.clock import START, Clock

if TYPE_CHECKING:
    from collections.abc import Hashable

    from connectly_tracking.api.verdicts import Verdict
    from connectly_tracking.delivery.claim import Batch, Claimed
    from connectly_tracking.delivery.send import Result

    Tables = tuple[tuple[tuple[Any, ...], ...], ...]

LEASE: Final = 120.0
DEADLINE: Final = 20.0
MAX_AGE: Final = 200.0
_MODELS: Final = (Conversion, Circuit, DeliveryAttempt)


class Clocks(Clock):
    """The database's clock, and that of the processes, which may be wrong."""

    skew = 0.0

    def now(self) -> datetime:
        return self.later(self.skew)

    def set(self, seconds: float, skew: float) -> None:
        """Seconds since the start; ``skew``: how far the processes are ahead."""
        self._now, self.skew = START, skew
        self.go_on(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker's memory. Without a batch it is idle, as a new process is.

    ``batch`` is the first one; rows claimed while it is under way are with its own.
    """

    batch: Batch | None = None
    probes: int = 0
    waiting: tuple[Claimed, ...] = ()
    flying: tuple[Claimed, ...] = ()
    results: tuple[Result, ...] = ()
    #: Answers that are written, but not yet counted for the circuit.
    verdicts: tuple[Verdict, ...] | None = None
    is_noted: bool = False
    may_start: bool = True

    @property
    def in_hand(self) -> tuple[Claimed, ...]:
        """The rows whose result is not written yet."""
        return (*self.waiting, *self.flying, *(it.row for it in self.results))

    @property
    def is_alone(self) -> bool:
        """Whether it claims no other row meanwhile."""
        assert self.batch is not None
        return self.probes > 0 or any(row.may_crash for row in self.batch.rows)

    def key(self, now: float) -> Hashable:
        if self.batch is None:
            return None

        def row_key(row: Claimed) -> Hashable:
            return (row.pk, row.unconfirmed, row.crashes, now - row.claimed_at)

        return (
            self.is_alone,
            self.probes,
            tuple(map(row_key, self.waiting)),
            tuple(map(row_key, self.flying)),
            tuple((row_key(it.row), it.verdict.outcome) for it in self.results),
            self.verdicts is None,
            tuple(it.outcome for it in self.verdicts or ()),
            self.is_noted,
            self.may_start,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How often something may still happen."""

    kills: int
    failures: int
    people: int
    skews: int = 0


class Row(NamedTuple):
    """A conversion, with times in seconds since the start."""

    pk: int
    state: str
    reason: str
    body: str
    due_at: float | None
    lease_token: str | None
    attempts: int
    unconfirmed: int
    crashes: int
    cancelled_at: float | None
    replayed_at: float | None
    event_time: float

    @property
    def is_live(self) -> bool:
        return self.state in {State.PENDING, State.SENDING}

    @property
    def age_from(self) -> float:
        return max(self.event_time, self.replayed_at or self.event_time)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    tables: Tables
    now: float
    skew: float
    workers: tuple[Worker, ...]
    budget: Budget
    received: frozenset[tuple[int, str]] = frozenset()
    confirmed: frozenset[int] = frozenset()
    rows: tuple[Row, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(map(_row, self.tables[0])))

    @property
    def paused_until(self) -> float | None:
        circuits = [dict(zip(_columns(1), it, strict=True)) for it in self.tables[1]]
        return _seconds(circuits[0]["paused_until"]) if circuits else None

    @property
    def is_quiet(self) -> bool:
        """Nothing will happen any more by itself."""
        is_idle = all(worker.batch is None for worker in self.workers)
        return is_idle and not any(row.due_at is not None for row in self.rows)

    def next_time(self) -> float | None:
        """When something becomes due, or too old."""
        times = [row.due_at for row in self.rows if row.due_at is not None]
        times += [row.age_from + MAX_AGE + 1 for row in self.rows if row.is_live]
        if times and self.paused_until is not None:
            times.append(self.paused_until)
        return min((time for time in times if time > self.now), default=None)

    def key(self) -> Hashable:
        holders = {
            row.token.hex: index
            for index, worker in enumerate(self._sorted_workers())
            for row in worker.in_hand
        }
        return (
            tuple(self._row_key(row, holders) for row in self.rows),
            tuple(self._circuit_key(it) for it in self.tables[1]),
            self._attempts_key(),
            tuple(worker.key(self.now) for worker in self._sorted_workers()),
            self.skew,
            self.budget,
            self.received,
            self.confirmed,
        )

    def _sorted_workers(self) -> list[Worker]:
        return sorted(self.workers, key=lambda it: repr(it.key(self.now)))

    def _row_key(self, row: Row, holders: dict[str, int]) -> Hashable:
        token = row.lease_token
        return row._replace(
            attempts=min(row.attempts, 1),  # the only wait between tries repeats
            due_at=None if row.due_at is None else row.due_at - self.now,
            lease_token=token and str(holders.get(token, "nobody")),
            cancelled_at=None if row.cancelled_at is None else 0,
            replayed_at=None if row.replayed_at is None else row.replayed_at - self.now,
            event_time=row.event_time - self.now,
        )

    def _circuit_key(self, values: tuple[Any, ...]) -> Hashable:
        circuit = dict(zip(_columns(1), values, strict=True))
        until = _seconds(circuit["paused_until"])
        names = ("reason", "failures", "refusals", "probes")
        counts = [circuit[name] for name in names]
        return (None if until is None else until - self.now, *counts)

    def _attempts_key(self) -> Hashable:
        """What the retry schedule of a replayed row reads."""
        replayed = {row.pk: row.replayed_at for row in self.rows}
        found = []
        for values in self.tables[2]:
            it = dict(zip(_columns(2), values, strict=True))
            since = replayed[it["conversion_id"]]
            started_at = _seconds(it["started_at"])
            if since is not None and started_at is not None and started_at >= since:
                found.append((it["conversion_id"], it["outcome"]))
        return tuple(sorted(found))


def read_tables() -> Tables:
    raw = connection.connection
    return tuple(tuple(raw.execute(sql).fetchall()) for sql in _selects())


def write_tables(tables: Tables) -> None:
    raw = connection.connection
    for index, rows in enumerate(tables):
        table = _MODELS[index]._meta.db_table
        raw.execute(f"DELETE FROM {table}")
        places = ", ".join("?" * len(_columns(index)))
        raw.executemany(f"INSERT INTO {table} VALUES ({places})", rows)


@cache
def _columns(index: int) -> tuple[str, ...]:
    return tuple(name for name, _type in _typed_columns(index))


@cache
def _typed_columns(index: int) -> tuple[tuple[str, str], ...]:
    table = _MODELS[index]._meta.db_table
    found = connection.connection.execute(f"PRAGMA table_info({table})")
    return tuple((name, kind) for _number, name, kind, *_ in found)


@cache
def _selects() -> tuple[str, ...]:
    """Times are read as the text that they are, so that they are written unchanged."""
    return tuple(
        f"SELECT {', '.join(map(_as_stored, _typed_columns(index)))}"
        f" FROM {model._meta.db_table} ORDER BY 1"
        for index, model in enumerate(_MODELS)
    )


def _as_stored(column: tuple[str, str]) -> str:
    name, kind = column
    return f"\"{name}\" || ''" if kind == "datetime" else f'"{name}"'


@cache
def _row(values: tuple[Any, ...]) -> Row:
    found = dict(zip(_columns(0), values, strict=True))
    times = ("due_at", "cancelled_at", "replayed_at", "event_time")
    found |= {name: _seconds(found[name]) for name in times}
    return Row._make(
        found["id"] if name == "pk" else found[name] for name in Row._fields
    )


@cache
def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    at = datetime.fromisoformat(text).replace(tzinfo=START.tzinfo)
    return round((at - START).total_seconds(), 3)
