"""The rows of the tables, and whether each change was allowed.

A row may move along an arrow only during an action that has this arrow. The rules for
every row at all times are checked here.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

from django.db import connection

from connectly_tracking.models import Circuit, Conversion, DeliveryAttempt, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from django.db.models import Model

    from .api import Api
    from .clock import Clock
    from .statements import Disturbance

LIVE: Final = frozenset({State.PENDING, State.SENDING})


class Row(NamedTuple):
    """A conversion."""

    pk: int
    business: str
    order_id: str
    state: str
    reason: str
    body: str
    event_time: datetime | None
    due_at: datetime | None
    lease_token: UUID | None
    attempts: int
    unconfirmed: int
    crashes: int
    delivered_at: datetime | None
    cancelled_at: datetime | None
    replayed_at: datetime | None

    @property
    def is_live(self) -> bool:
        return self.state in LIVE

    @property
    def is_left_behind(self) -> bool:
        """If it is due: a worker held it, and its lease is over."""
        return self.state == State.SENDING


class Fuse(NamedTuple):
    """A circuit."""

    pk: str
    paused_until: datetime | None
    reason: str
    failures: int
    refusals: int
    probes: int
    fingerprint: str

    @property
    def is_paused(self) -> bool:
        return self.paused_until is not None


class Try(NamedTuple):
    """An attempt."""

    pk: UUID
    conversion_id: int
    outcome: str
    finished_at: datetime | None


_Record = TypeVar("_Record", Row, Fuse, Try)


class Actor(Protocol):
    """The work under way, and the changes it may make. Each raises AssertionError."""

    def row(self, before: Row | None, after: Row) -> None: ...

    def fuse(self, before: Fuse | None, after: Fuse) -> None: ...

    def attempt(self, before: Try | None, after: Try | None) -> None: ...


class Lease(NamedTuple):
    token: UUID
    until: datetime


@dataclass(slots=True)
class History:
    """The past of a row. ``uncounted``: claims that do not count. ``tokens``: claims
    since its replay. ``tries``: their attempts that are written, without those that say
    nothing about the row.
    """

    body: str = ""
    claims: int = 0
    uncounted: int = 0
    lease: Lease | None = None
    tokens: set[UUID] = field(default_factory=set)
    tries: set[UUID] = field(default_factory=set)


class Ledger:
    def __init__(self, clock: Clock, api: Api) -> None:
        self.clock, self.api = clock, api
        self.rows: dict[int, Row] = {}
        self.fuses: dict[str, Fuse] = {}
        self.tries: dict[UUID, Try] = {}
        self.histories: dict[int, History] = {}
        self.orders = set[tuple[str, str]]()
        #: The attempts whose request went out: their rows and tokens.
        self.sent: dict[UUID, tuple[int, UUID]] = {}
        #: By business: when the API asked to wait, and until when.
        self.silences: dict[str, tuple[datetime, datetime]] = {}
        #: Happens during the next move.
        self.disturbance: Disturbance | None = None
        self._actors: list[Actor] = []
        self._rows = _Table(Conversion, Row)
        self._fuses = _Table(Circuit, Fuse)
        self._tries = _Table(DeliveryAttempt, Try)

    @contextmanager
    def during(self, actor: Actor) -> Iterator[None]:
        """Changes in here are made by this actor, except during interruptions."""
        self.catch_up()
        self._actors.append(actor)
        disturbance, self.disturbance = self.disturbance, None
        try:
            with disturbance or nullcontext():
                yield
        finally:
            self.observe()
            self._actors.pop()

    def catch_up(self) -> None:
        """Check the changes that an interrupted actor made so far."""
        if self._actors:
            self.observe()

    def is_leased(self, pk: int) -> bool:
        lease = self.histories[pk].lease
        return lease is not None and self.clock.now() < lease.until

    def row_of(self, order: tuple[str, str]) -> Row | None:
        found = [it for it in self.rows.values() if (it.business, it.order_id) == order]
        assert len(found) <= 1, f"{len(found)} rows for {order}"
        return found[0] if found else None

    def live(self) -> list[Row]:
        return [row for row in self.rows.values() if row.is_live]

    def observe(self) -> None:
        rows, fuses, tries = self.rows, self.fuses, self.tries
        self._read()
        for row_before, row in _changes(rows, self.rows):
            assert row is not None, f"lost: {row_before}"
            self._actor(row_before, row).row(row_before, row)
            self._follow(row_before, row)
        for fuse_before, fuse in _changes(fuses, self.fuses):
            assert fuse is not None, f"lost: {fuse_before}"
            self._actor(fuse_before, fuse).fuse(fuse_before, fuse)
        for try_before, attempt in _changes(tries, self.tries):
            self._actor(try_before, attempt).attempt(try_before, attempt)
        self._check()

    def _actor(self, before: object, after: object) -> Actor:
        assert self._actors, f"without an actor {before} became {after}"
        return self._actors[-1]

    def _read(self) -> None:
        self.rows = self._rows.read()
        self.fuses = self._fuses.read()
        self.tries = self._tries.read()

    def _follow(self, before: Row | None, after: Row) -> None:
        history = self.histories.setdefault(after.pk, History())
        if after.state != State.SENDING:
            history.lease = None
        if after.is_live and not history.body:
            history.body = after.body
        if before is not None:
            assert before.state != State.DELIVERED or after.state == State.DELIVERED

    def _check(self) -> None:
        assert len(self.rows) == len(self.orders), "rows are lost, or not of any order"
        for row in self.rows.values():
            history = self.histories[row.pk]
            assert row.state in State, row
            assert (row.due_at is not None) == row.is_live, row
            assert (row.lease_token is not None) == (row.state == State.SENDING), row
            assert row.attempts == history.claims - history.uncounted, (row, history)
            assert not history.body or row.body == history.body, row
            assert bool(history.body) or not row.is_live, row
            if row.state == State.DELIVERED:
                assert row.body in self.api.confirmed, f"never confirmed: {row}"
                assert row.delivered_at is not None, row
        for sent, (pk, token) in self.sent.items():
            is_held = self.rows[pk].lease_token == token
            assert is_held or sent in self.tries, (
                "a request went out without an attempt"
            )


class _Table(Generic[_Record]):
    """All rows of a model. The query is compiled once, since it runs often."""

    def __init__(self, model: type[Model], record: type[_Record]) -> None:
        self._record: type[_Record] = record
        found = model._default_manager.order_by("pk").values_list(*record._fields)
        query = found.query
        self._compiler = query.get_compiler(connection=connection)
        self._sql, self._params = self._compiler.as_sql()
        columns = [column for column, *_ in self._compiler.select]
        self._converters = self._compiler.get_converters(columns)

    def read(self) -> dict[Any, _Record]:
        with connection.cursor() as cursor:
            cursor.execute(self._sql, self._params)
            found = cursor.fetchall()
        rows = self._compiler.apply_converters(found, self._converters)
        return {row[0]: self._record(*row) for row in rows}


def _changes(
    before: dict[Any, _Record], after: dict[Any, _Record]
) -> Iterator[tuple[_Record | None, _Record | None]]:
    for pk in [*before, *(pk for pk in after if pk not in before)]:
        if before.get(pk) != after.get(pk):
            yield before.get(pk), after.get(pk)
