"""The events, in any order: hypothesis draws them, and shrinks a failure."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from .api import Behaviour
from .quiet import come_to_rest
from .statements import DatabaseGoneError, Killed, failing_at, interrupted_at, killed_at
from .worker import Worker
from .world import ALIASES, Kind, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .statements import Disturbance

WORKERS: Final = 3
MAX_CURSES: Final = 2
#: Below and above a POST's deadline, a probe's lease, a row's, and all waits.
JUMPS: Final = (1, 15, 31, 70, 89, 121, 400, 1100, 4500, 5 * 3600, 8 * 3600, 8 * 86400)

CURSES: Final = [
    Behaviour.KILLS,
    Behaviour.BREAKS_US,
    Behaviour.REFUSES,
    Behaviour.MUMBLES,
]

orders = st.integers(0, 9)
numbers = st.integers(0, WORKERS - 1)
ahead = st.integers(0, 9)
choices = st.integers(0, 3)
statements = st.integers(0, 6)
behaviours = st.none() | st.sampled_from(Behaviour.weathers())


def _kill(_: Worker) -> None:
    raise Killed


def has_orders(machine: Interleaving) -> bool:
    return bool(machine._world.orders)


class Interleaving(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._world = World()
        self._example = ExitStack()
        self._example.enter_context(_rolled_back())
        self._example.enter_context(self._world.clock.shown())
        self._world.open_shop()
        self._workers = [Worker(self._world) for _ in range(WORKERS)]

    def teardown(self) -> None:
        try:
            if sys.exception() is None:
                rounds = [partial(self._go_round, it) for it in range(WORKERS)]
                come_to_rest(self._world, rounds)
        finally:
            self._example.close()

    @initialize(count=st.integers(0, 6))
    def the_shop_opens(self, count: int) -> None:
        self.orders_are_completed(Kind.PLAIN, ALIASES[0], count)

    @rule(
        kind=st.sampled_from(Kind),
        alias=st.sampled_from(ALIASES),
        count=st.integers(1, 4),
    )
    def orders_are_completed(self, kind: Kind, alias: str, count: int) -> None:
        for _ in range(count):
            self._world.record(kind, alias)

    @precondition(has_orders)
    @rule(order=orders, kind=st.sampled_from(Kind))
    def an_order_is_completed_again(self, order: int, kind: Kind) -> None:
        alias, order_id = self._order(order)
        self._world.record(kind, alias, order_id)

    @precondition(lambda self: self._world.without_click)
    @rule(order=orders, kind=st.sampled_from([Kind.PLAIN, Kind.HELD]))
    def its_click_is_found(self, order: int, kind: Kind) -> None:
        waiting = self._world.without_click
        alias, order_id = waiting[order % len(waiting)]
        self._world.record(kind, alias, order_id)

    @precondition(has_orders)
    @rule(order=orders)
    def an_order_is_cancelled(self, order: int) -> None:
        self._world.cancel(self._order(order))

    @precondition(has_orders)
    @rule(order=orders)
    def a_person_replays(self, order: int) -> None:
        self._world.replay(self._order(order))

    @precondition(lambda self: self._world.given_up)
    @rule()
    def a_person_replays_all(self) -> None:
        for order in self._world.given_up:
            self._world.replay(order)

    @precondition(has_orders)
    @precondition(lambda self: len(self._world.curses) < MAX_CURSES)
    @rule(order=orders, curse=st.sampled_from(CURSES))
    def each_request_of_an_order_meets(self, order: int, curse: Behaviour) -> None:
        self._world.curses[self._order(order)[1]] = curse

    @rule(weather=st.sampled_from(Behaviour.weathers()), rounds=st.integers(0, 8))
    def the_api(self, weather: Behaviour, rounds: int) -> None:
        self._world.api.weather = weather
        if rounds:
            self._world.bring_work()
        self.life_goes_on(rounds)

    @rule(rounds=st.integers(1, 6))
    def life_goes_on(self, rounds: int) -> None:
        for number in range(rounds):
            if not (self._world.wait_for_next() or self._world.is_any_due):
                break
            self._go_round(number % WORKERS)

    @rule(alias=st.sampled_from(ALIASES))
    def the_settings_change(self, alias: str) -> None:
        self._world.change_settings(alias)

    @rule(seconds=st.sampled_from(JUMPS))
    def time_passes(self, seconds: float) -> None:
        self._world.clock.go_on(seconds)

    @rule(number=numbers, moves=st.integers(1, 8), choice=choices, behaviour=behaviours)
    def a_worker_goes_on(
        self, number: int, moves: int, choice: int, behaviour: Behaviour | None
    ) -> None:
        self._with(number, lambda it: it.move(choice, behaviour), moves=moves - 1)

    @rule(number=numbers, moves=st.integers(0, 5))
    def a_worker_is_killed(self, number: int, moves: int) -> None:
        self._with(number, _kill, moves=moves)

    @rule(number=numbers, moves=ahead, at=statements, behaviour=behaviours)
    def a_worker_is_killed_within(
        self, number: int, moves: int, at: int, behaviour: Behaviour | None
    ) -> None:
        self._disturb(number, killed_at(at), moves, behaviour)

    @rule(
        number=numbers,
        moves=ahead,
        at=statements,
        behaviour=behaviours,
        lasting=st.booleans(),
    )
    def the_database_fails(
        self,
        number: int,
        moves: int,
        at: int,
        behaviour: Behaviour | None,
        lasting: bool,
    ) -> None:
        self._world.refusals = inf if lasting else 1
        try:
            self._disturb(number, failing_at(at, lasting=lasting), moves, behaviour)
        finally:
            self._world.refusals = 0

    @rule(
        number=numbers,
        moves=ahead,
        at=statements,
        behaviour=behaviours,
        other=st.integers(1, WORKERS - 1),
        others_moves=st.integers(1, 6),
        others_behaviour=behaviours,
    )
    def a_worker_comes_between(
        self,
        number: int,
        moves: int,
        at: int,
        behaviour: Behaviour | None,
        other: int,
        others_moves: int,
        others_behaviour: Behaviour | None,
    ) -> None:
        def interrupt() -> None:
            self._with(
                (number + other) % WORKERS,
                lambda it: it.move(0, others_behaviour),
                moves=others_moves,
                behaviour=others_behaviour,
            )

        self._disturb(number, interrupted_at(at, interrupt), moves, behaviour)

    def _order(self, number: int) -> tuple[str, str]:
        orders = self._world.orders
        return orders[number % len(orders)]

    def _go_round(self, number: int) -> None:
        self._with(number, Worker.go_round)

    def _with(
        self,
        number: int,
        then: Callable[[Worker], None],
        *,
        moves: int = 0,
        behaviour: Behaviour | None = None,
    ) -> None:
        """A worker after so many moves. If it ends, another one takes its place."""
        worker = self._workers[number]
        try:
            if moves and worker.is_idle:
                self._world.bring_work()
            for _ in range(moves):
                worker.move(0, behaviour)
            then(worker)
        except (Killed, DatabaseGoneError):
            self._workers[number] = Worker(self._world)

    def _disturb(
        self,
        number: int,
        disturbance: Disturbance,
        moves: int,
        behaviour: Behaviour | None,
    ) -> None:
        """Let a worker make some moves, and one more that is disturbed."""

        def move(worker: Worker) -> None:
            self._world.is_disturbed = True
            self._world.ledger.disturbance = disturbance
            try:
                worker.move(0, behaviour)
            finally:
                self._world.is_disturbed = False
                self._world.ledger.disturbance = None

        self._with(number, move, moves=moves, behaviour=behaviour)


@contextmanager
def _rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
