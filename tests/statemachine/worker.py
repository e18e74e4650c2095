"""A worker that makes one move at a time: those of a delivery, without its threads.

It claims through the generator that `deliver` itself uses. After that it follows the
order of `Sending`, over the real `write`, `note` and `release`.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

from connectly_tracking.api.verdicts import Outcome
from connectly_tracking.conf import conf
from connectly_tracking.delivery import breaker, run, worker
from connectly_tracking.delivery.claim import Claimed
from connectly_tracking.delivery.run import LastTimes, Run
from connectly_tracking.delivery.send import Result
from connectly_tracking.delivery.settle import Settlement
from connectly_tracking.models import ConversionQuerySet, State

from .actions import DEADLINE, LEASE, Note, Release, Settle, Take
from .api import Behaviour
from .statements import Killed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from connectly_tracking.api.verdicts import Verdict
    from connectly_tracking.delivery.breaker import Breaker
    from connectly_tracking.delivery.claim import Batch
    from connectly_tracking.delivery.run import Account

    from .ledger import Fuse
    from .world import World

    Move = Callable[[Behaviour | None], None]

WIDTH: Final = 2  # requests under way

_STOPS: Final = frozenset({Outcome.CONFIGURATION, Outcome.THROTTLED})

_due = ConversionQuerySet.due


def _due_in_order(
    rows: ConversionQuerySet, businesses: Collection[str]
) -> ConversionQuerySet:
    """Rows that are due in the same instant come in an order that can be repeated."""
    return _due(rows, businesses).order_by("business", "due_at", "pk")


class Worker:
    """If it is dropped, its process has ended, and only its writes are left."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._accounts: list[Account] = []
        self._batches: Iterator[tuple[Batch, Breaker]] | None = None
        self._fuse: Fuse | None = None
        self._looked_at = world.clock.now()
        #: By token.
        self._claimed_at: dict[UUID, datetime] = {}
        #: A process remembers its own pauses.
        self._refusals = LastTimes()
        self._batch: Batch | None = None
        self._breaker: Breaker
        self._settlement: Settlement
        self._waiting = deque[Claimed]()
        self._flying: list[tuple[Claimed, datetime]] = []
        self._results: list[Result] = []
        self._verdicts: list[Verdict] | None = None
        self._is_noted = False
        self._gate_is_open = False

    @property
    def is_idle(self) -> bool:
        return not self._accounts

    def moves(self) -> list[Move]:
        """The moves it may make next, the usual one first.

        A move takes the behaviour that a request meets, or None for the weather's.
        """
        if self._batch is None:
            return [self._take]
        if self._verdicts is not None:
            return [self._note]
        is_urgent = bool(self._results) and (
            self._results[-1].verdict.outcome != Outcome.CONFIRMED
        )
        if is_urgent:
            stops = self._results[-1].verdict.outcome in _STOPS
            return [self._note if stops and not self._is_noted else self._settle]
        moves: list[Move] = []
        if self._waiting and len(self._flying) < WIDTH and self._may_start:
            moves.append(self._start)
        moves += [partial(self._answer, it) for it in range(len(self._flying))]
        if self._flying and self._may_take_more:
            moves.append(self._take_more)
        if self._results:
            moves.append(self._settle)
        elif not self._flying:
            moves.append(self._give_back)
        return moves

    def move(self, choice: int = 0, behaviour: Behaviour | None = None) -> None:
        moves = self.moves()
        with (
            patch.multiple(run, time=self._world.clock),
            patch.multiple(breaker, settings_refused=self._refusals),
            # A minute may be over at any time.
            patch.multiple(worker, fruitless_expiries=LastTimes()),
            patch.object(ConversionQuerySet, "due", _due_in_order),
        ):
            moves[choice % len(moves)](behaviour)

    def finish(self) -> None:
        """Go on to the end of its batch."""
        while self._batch is not None:
            self.move()

    def go_round(self) -> None:
        """Go on to the end of its look at all businesses, or take a whole one."""
        self.move()
        while not self.is_idle:
            self.move()

    @property
    def _may_start(self) -> bool:
        claimed_at = self._claimed_at[self._waiting[0].token]
        held_for = -self._world.clock.until(claimed_at)
        return self._gate_is_open and held_for < 0.9 * LEASE - DEADLINE

    @property
    def _may_take_more(self) -> bool:
        assert self._batch is not None
        is_alone = any(row.may_crash for row in self._batch.rows)
        is_ready = self._gate_is_open and not self._waiting
        return is_ready and not is_alone and not self._breaker.is_probe

    def _take(self, _: Behaviour | None) -> None:
        world, ledger = self._world, self._world.ledger
        if not self._accounts:
            if not world.is_any_due:
                return  # as `deliver` does
            self._accounts = world.accounts()
        account = self._accounts[0]
        if self._batches is None:
            ledger.catch_up()
            self._fuse = ledger.fuses.get(account.alias)
            self._looked_at = world.clock.now()
            self._batches = worker.batches(Run.begin(), account, conf.BATCH)
        claimed_at = world.clock.now()
        action = Take(
            ledger=ledger,
            business=account.alias,
            fuse_seen=self._fuse,
            looked_at=self._looked_at,
            fingerprint=account.fingerprint,
        )
        with ledger.during(action):
            found = next(self._batches, None)
        action.done()
        if found is None:
            assert not action.taken, "taken, and forgotten"
            self._accounts, self._batches = self._accounts[1:], None
            return
        self._batch, self._breaker = found
        self._claimed_at = {self._batch.token: claimed_at}
        self._settlement = Settlement(
            self._breaker.run, self._batch, longest_wait=self._breaker.longest_wait
        )
        self._gate_is_open = True
        assert self._breaker.is_probe == action.is_probe
        self._receive(self._batch, action)

    def _take_more(self, _: Behaviour | None) -> None:
        ledger, now = self._world.ledger, self._world.clock.now()
        ledger.catch_up()
        action = Take(
            ledger=ledger,
            business=self._breaker.business,
            fuse_seen=ledger.fuses.get(self._breaker.business),
            looked_at=now,
            fingerprint=self._breaker.fingerprint,
            is_extra=True,
        )
        with ledger.during(action):
            batch = worker.claim_more(self._breaker, conf.BATCH)
        action.done()
        if batch is None:
            assert not action.taken, "taken, and forgotten"
            return
        self._claimed_at[batch.token] = now
        self._settlement.add(batch)
        self._receive(batch, action)

    def _receive(self, batch: Batch, action: Take) -> None:
        assert {row.pk for row in batch.rows} == {row.pk for row in action.taken}
        for claimed in batch.rows:
            row = self._world.ledger.rows[claimed.pk]
            assert (claimed.body, claimed.attempts) == (row.body, row.attempts)
            counts = (row.unconfirmed, row.crashes)
            assert (claimed.unconfirmed, claimed.crashes) == counts
        self._waiting.extend(batch.rows)

    def _start(self, _: Behaviour | None) -> None:
        row, ledger = self._waiting.popleft(), self._world.ledger
        stored, lease = ledger.rows[row.pk], ledger.histories[row.pk].lease
        # Only a late confirmation takes a row from the worker that holds it.
        if stored.state != State.DELIVERED:
            assert lease is not None, f"not in hand: {stored}"
            assert lease.token == row.token, f"in another's hands: {stored}"
            assert ledger.is_leased(row.pk), f"sent after its lease: {stored}"
        assert row.body == stored.body, stored
        ledger.sent[row.attempt_id] = (row.pk, row.token)
        self._world.api.receive(row.body)
        if self._world.curse_of(stored.order_id) is Behaviour.KILLS:
            raise Killed
        self._flying.append((row, self._world.clock.now()))

    def _answer(self, number: int, behaviour: Behaviour | None) -> None:
        (row, started_at), world = self._flying.pop(number), self._world
        order_id = world.ledger.rows[row.pk].order_id
        behaviour = world.curse_of(order_id) or behaviour or world.api.weather
        verdict = world.api.answer(row.body, behaviour)
        if verdict.outcome in _STOPS:
            self._gate_is_open = False
        self._results.append(
            Result(
                row=row,
                verdict=verdict,
                started_at=started_at,
                finished_at=world.clock.now(),
            )
        )

    def _settle(self, _: Behaviour | None) -> None:
        results, self._results = self._results, []
        action = Settle(
            ledger=self._world.ledger,
            results=results,
            probes=self._breaker.probes,
        )
        noted = self._settlement.tally.total()
        with self._world.ledger.during(action):
            written = self._settlement.write(results)
        assert self._settlement.tally.total() - noted == len(action.moved)
        if self._world.refusals < 2:  # each result has a second try
            assert written
            action.done()
        self._gate_is_open &= written
        is_noted = self._is_noted or self._settlement.is_calm
        self._verdicts = None if is_noted else self._telling(results)
        self._is_noted = False

    def _telling(self, results: Sequence[Result]) -> list[Verdict]:
        """A row that causes internal errors again says nothing about the API."""
        return [
            it.verdict
            for it in results
            if self._breaker.is_probe
            or it.verdict.outcome != Outcome.INTERNAL
            or not it.row.crashes
        ]

    def _note(self, _: Behaviour | None) -> None:
        # An answer that stops all workers is noted before it is written.
        self._is_noted = self._verdicts is None
        verdicts = self._telling(self._results) if self._is_noted else self._verdicts
        verdicts, self._verdicts = verdicts or [], None
        ledger, alias = self._world.ledger, self._breaker.business
        action = Note(
            ledger=ledger,
            business=alias,
            fingerprint=self._breaker.fingerprint,
            verdicts=verdicts,
            probes=self._breaker.probes,
        )
        with ledger.during(action):
            flows = self._breaker.note(verdicts)
        self._gate_is_open &= flows
        if not self._world.is_disturbed:
            fuse = ledger.fuses.get(alias)
            assert flows == (fuse is None or not fuse.is_paused), (flows, fuse)
            action.done()
            if action.outcome == Outcome.THROTTLED:
                self._world.be_silent(alias, verdicts[-1].wait)

    def _give_back(self, _: Behaviour | None) -> None:
        unsent, self._waiting = list(self._waiting), deque()
        if unsent:
            action = Release(ledger=self._world.ledger, unsent=unsent)
            with self._world.ledger.during(action):
                self._settlement.release(unsent)
            action.done()
        self._batch = None
