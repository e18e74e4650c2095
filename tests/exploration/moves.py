"""What may happen next in a world. Each move calls the product's own functions."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

from connectly_tracking import outbox
from connectly_tracking.api.secret import Secret
from connectly_tracking.api.verdicts import Outcome
from connectly_tracking.conf import Business, conf
from connectly_tracking.delivery import breaker as breakers
from connectly_tracking.delivery import claim as claims
from connectly_tracking.delivery import settle as settlements
from connectly_tracking.delivery import worker as deliveries
from connectly_tracking.delivery.breaker import Breaker
from connectly_tracking.delivery.run import Account, LastTimes, Run
from connectly_tracking.delivery.send import Result
from connectly_tracking.delivery.settle import Settlement
from connectly_tracking.models import Conversion, State
from tests.statemachine.api import Behaviour
from tests.statemachine.statements import Killed, interrupted_at, killed_at

from .world import DEADLINE, LEASE, Clocks, Worker, World, read_tables, write_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from connectly_tracking.api.verdicts import Verdict
    from connectly_tracking.delivery.claim import Claimed

    Play = Callable[[World], World]

BUSINESS: Final = "default"
BUSINESS_ID: Final = "3f2b8c1e-5d4a-4b6f-9a7e-0c1d2e3f4a5b"
MAX_CRASHES: Final = 2  # in this world, so that they are reached
SKEW: Final = 8 * 86_400.0

_STOPS: Final = frozenset({Outcome.CONFIGURATION, Outcome.THROTTLED})
_FINAL: Final = frozenset({State.REJECTED, State.EXPIRED, State.SKIPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """``kinds``: what happens, in a word each. ``is_fair``: if nothing else happens,
    this will, sooner or later. ``writes``: it uses the tables.
    """

    name: str
    kinds: tuple[str, ...]
    play: Play
    is_fair: bool = False
    writes: bool = True


class Stage:
    """Where moves are played: the tables and the clocks of one world at a time."""

    def __init__(self, *, answers: Sequence[Behaviour], interrupts: bool) -> None:
        self._answers = answers
        self._interrupts = interrupts
        self._clocks = Clocks()
        self._run = Run.begin()
        key = Secret("key-of-this-world")
        business = Business(alias=BUSINESS, business_id=BUSINESS_ID, api_key=key)
        self._account = Account.of(business, conf)

    @contextmanager
    def opened(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(self._clocks.shown())
            for changed in (
                patch.multiple(claims, time=self._clocks, MAX_CRASHES=MAX_CRASHES),
                patch.multiple(settlements, JITTER=0, MAX_CRASHES=MAX_CRASHES),
                # With the same settings for all, what a process remembers is of no use.
                patch.multiple(breakers, settings_refused=_Forgetful()),
                patch.multiple(deliveries, fruitless_expiries=_Forgetful()),
            ):
                stack.enter_context(changed)
            yield

    def steps(self, world: World) -> Iterator[tuple[Move, World]]:
        """Every move that may be made now, and the world after it."""
        for move in self._moves(world):
            if not move.writes:
                yield move, move.play(world)
                continue
            yield move, self._played(world, move.play)
            if world.budget.kills and move.kinds[0] in _KILLABLE:
                yield from self._killed(world, move)
            if self._interrupts and move.kinds[0] in _TAKES:
                yield from self._interrupted(world, move)

    def _played(self, world: World, play: Play) -> World:
        write_tables(world.tables)
        self._clocks.set(world.now, world.skew)
        after = play(world)
        return replace(after, tables=read_tables())

    def _killed(self, world: World, move: Move) -> Iterator[tuple[Move, World]]:
        """The process ends before each of the move's statements."""
        index = _worker_of(move)
        for number in count():

            def play(world: World, number: int = number) -> World:
                with killed_at(number):
                    move.play(world)
                return world

            try:
                self._played(world, play)
            except Killed:
                dead = replace(_with(world, index, Worker()), tables=read_tables())
                name = f"{move.name}, killed before statement {number}"
                kinds = ("kill", *move.kinds)
                yield (
                    replace(move, name=name, kinds=kinds, is_fair=False),
                    _spend(dead, kills=1),
                )
            else:
                return

    def _interrupted(self, world: World, move: Move) -> Iterator[tuple[Move, World]]:
        """Others make a move between two of its statements, outside a transaction."""
        index = _worker_of(move)
        others = [
            it
            for it in self._moves(world)
            if it.writes and (it.kinds[0] not in _KILLABLE or _worker_of(it) != index)
        ]
        for other in others:
            for number in count(1):
                between = list[World]()

                def play(
                    world: World,
                    other: Move = other,
                    number: int = number,
                    between: list[World] = between,
                ) -> World:
                    with interrupted_at(
                        number, lambda: between.append(other.play(world))
                    ):
                        done = move.play(world)
                    base = between[0] if between else world
                    return _with(base, index, done.workers[index])

                after = self._played(world, play)
                if not between:
                    break
                yield (
                    Move(
                        name=f"{move.name}, interrupted at {number} by {other.name}",
                        kinds=(*move.kinds, *other.kinds),
                        play=play,
                    ),
                    after,
                )

    def _moves(self, world: World) -> Iterator[Move]:
        for index, worker in enumerate(world.workers):
            # Two idle workers are the same.
            if index == 0 or worker != world.workers[0]:
                yield from self._moves_of(world, index, worker)
        yield from self._people(world)
        if (time := world.next_time()) is not None:
            yield Move(
                name=f"{time - world.now:g} s pass",
                kinds=("tick",),
                play=lambda it: replace(it, now=time),
                is_fair=True,
                writes=False,
            )
        if world.budget.skews:
            for skew in (SKEW, -SKEW):
                yield Move(
                    name=f"the processes' clocks jump to {skew:+g} s",
                    kinds=("skew",),
                    play=partial(_jump, skew=skew),
                    writes=False,
                )

    def _moves_of(self, world: World, index: int, it: Worker) -> Iterator[Move]:
        def move(kind: str, play: Callable[..., World], **fields: bool) -> Move:
            name = f"worker {index}: {kind}"
            bound = partial(play, index=index)
            return Move(name=name, kinds=(kind,), play=bound, is_fair=True, **fields)

        if it.batch is None:
            live = sum(row.is_live for row in world.rows)
            if live:
                yield move("take", self._take)
            if live > 1:  # so that the other one is taken meanwhile
                yield move("take one", partial(self._take, most=1))
            return
        if world.budget.kills:
            yield replace(move("die", _die, writes=False), is_fair=False)
        if it.verdicts is not None:
            yield move("note", self._note)
            return
        if it.results and it.results[-1].verdict.outcome != Outcome.CONFIRMED:
            stops = it.results[-1].verdict.outcome in _STOPS
            if stops and not it.is_noted:
                yield move("note", self._note)
            else:
                yield move("settle", self._settle)
            return
        if it.waiting and it.may_start:
            held_for = world.now - it.waiting[0].claimed_at
            if held_for < 0.9 * LEASE - DEADLINE:
                yield move("post", _post, writes=False)
        elif it.flying and it.may_start and not it.is_alone:
            ours = {row.token.hex for row in it.in_hand}
            if any(row.is_live and row.lease_token not in ours for row in world.rows):
                yield move("take more", self._take_more)
        for row in it.flying:
            yield from self._answers_to(world, index, row)
        if it.results:
            yield move("settle", self._settle)
        elif not it.flying:
            yield move("release", self._release)

    def _answers_to(self, world: World, index: int, row: Claimed) -> Iterator[Move]:
        for behaviour in self._answers:
            is_fair = behaviour is Behaviour.CONFIRMS
            if is_fair or world.budget.failures:
                yield Move(
                    name=f"worker {index}: row {row.pk} {behaviour.name.lower()}",
                    kinds=("answer",),
                    play=partial(_answer, index=index, row=row, behaviour=behaviour),
                    is_fair=is_fair,
                    writes=False,
                )

    def _people(self, world: World) -> Iterator[Move]:
        if not world.budget.people:
            return
        for row in world.rows:
            what: list[tuple[str, Callable[[int], object]]] = []
            if row.cancelled_at is None:
                what.append(("cancel", _cancel))
            if row.is_live:
                what.append(("withdraw", _withdraw))
            if row.state in _FINAL and row.body:
                what.append(("replay", _replay))
            for kind, function in what:

                def play(
                    world: World,
                    function: Callable[[int], object] = function,
                    pk: int = row.pk,
                ) -> World:
                    function(pk)
                    return _spend(world, people=1)

                name = f"a person: {kind} row {row.pk}"
                yield Move(name=name, kinds=(kind,), play=play)

    def _take(self, world: World, index: int, most: int = 2) -> World:
        for batch, breaker in deliveries.batches(self._run, self._account, most):
            if batch.rows:
                taken = Worker(batch=batch, probes=breaker.probes, waiting=batch.rows)
                return _with(world, index, taken)
        return world

    def _take_more(self, world: World, index: int) -> World:
        worker = world.workers[index]
        batch = deliveries.claim_more(self._breaker(worker), 2)
        if batch is None:
            return world
        return _with(world, index, replace(worker, waiting=batch.rows))

    def _settle(self, world: World, index: int) -> World:
        worker = world.workers[index]
        settlement = self._settlement(worker)
        written = settlement.write(worker.results)
        is_noted = worker.is_noted or settlement.is_calm
        after = replace(
            worker,
            results=(),
            verdicts=None if is_noted else _telling(worker),
            is_noted=False,
            may_start=worker.may_start and written,
        )
        return _with(world, index, after)

    def _note(self, world: World, index: int) -> World:
        worker = world.workers[index]
        verdicts = _telling(worker) if worker.verdicts is None else worker.verdicts
        flows = self._breaker(worker).note(verdicts)
        after = replace(
            worker,
            is_noted=worker.verdicts is None,
            verdicts=None,
            may_start=worker.may_start and flows,
        )
        return _with(world, index, after)

    def _release(self, world: World, index: int) -> World:
        worker = world.workers[index]
        self._settlement(worker).release(worker.waiting)
        return _with(world, index, Worker())

    def _breaker(self, worker: Worker) -> Breaker:
        return Breaker(
            run=self._run,
            business=BUSINESS,
            fingerprint=self._account.fingerprint,
            is_probe=worker.probes > 0,
            probes=worker.probes,
        )

    def _settlement(self, worker: Worker) -> Settlement:
        assert worker.batch is not None
        longest_wait = self._breaker(worker).longest_wait
        return Settlement(self._run, worker.batch, longest_wait=longest_wait)


class _Forgetful(LastTimes):
    def note(self, *key: str) -> None:
        pass


_TAKES: Final = frozenset({"take", "take one", "take more"})
#: The moves of a worker at the tables.
_KILLABLE: Final = _TAKES | {"settle", "note", "release"}


def _post(world: World, index: int) -> World:
    worker = world.workers[index]
    row, *waiting = worker.waiting
    sent = replace(worker, waiting=tuple(waiting), flying=(*worker.flying, row))
    return replace(
        _with(world, index, sent), received=world.received | {(row.pk, row.body)}
    )


def _answer(world: World, index: int, row: Claimed, behaviour: Behaviour) -> World:
    worker, verdict = world.workers[index], behaviour.value
    result = Result(
        row=row, verdict=verdict, started_at=row.read_at, finished_at=row.read_at
    )
    after = replace(
        worker,
        flying=tuple(it for it in worker.flying if it != row),
        results=(*worker.results, result),
        may_start=worker.may_start and verdict.outcome not in _STOPS,
    )
    world = _with(world, index, after)
    if behaviour is Behaviour.CONFIRMS:
        return replace(world, confirmed=world.confirmed | {row.pk})
    return _spend(world, failures=1)


def _jump(world: World, skew: float) -> World:
    return _spend(replace(world, skew=skew), skews=1)


def _die(world: World, index: int) -> World:
    return _spend(_with(world, index, Worker()), kills=1)


def _cancel(pk: int) -> None:
    outbox.cancel(Conversion.objects.get(pk=pk).order_id)


def _withdraw(pk: int) -> None:
    Conversion.objects.filter(pk=pk).mark_withdrawn()


def _replay(pk: int) -> None:
    outbox.replay(Conversion.objects.filter(pk=pk))


def _telling(worker: Worker) -> tuple[Verdict, ...]:
    """A row that causes internal errors again says nothing about the API."""
    return tuple(
        it.verdict for it in worker.results if worker.probes or it.is_about_api
    )


def _with(world: World, index: int, worker: Worker) -> World:
    workers = list(world.workers)
    workers[index] = worker
    return replace(world, workers=tuple(workers))


def _spend(world: World, **spent: int) -> World:
    budget = world.budget
    left = {name: getattr(budget, name) - count for name, count in spent.items()}
    return replace(world, budget=replace(budget, **left))


def _worker_of(move: Move) -> int:
    return int(move.name.partition(" ")[2][0])
