"""Visits every state that can be reached, breadth first, and remembers it."""

from __future__ import annotations

import time
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import transaction
from django.test import override_settings

from connectly_tracking import outbox
from connectly_tracking.events import Item, Purchase
from connectly_tracking.models import Attribution, Circuit, Conversion
from tests.conftest import LANDING
from tests.statemachine.api import Behaviour
from tests.statemachine.clock import START

from .moves import Stage
from .rules import broken_by, broken_in
from .world import DEADLINE, LEASE, MAX_AGE, Budget, Worker, World, read_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORKERS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How large the world is. ``interrupts``: others come between the statements of a
    claim.
    """

    orders: int = 2
    kills: int = 0
    failures: int = 0
    people: int = 0
    skews: int = 0
    answers: tuple[Behaviour, ...] = (
        Behaviour.CONFIRMS,
        Behaviour.LOSES_THE_ANSWER,
        Behaviour.IS_MISCONFIGURED,
    )
    interrupts: bool = False

    def __str__(self) -> str:
        counts = ("orders", "kills", "failures", "people", "skews")
        words = [f"{getattr(self, name)} {name}" for name in counts]
        return ", ".join([*words, "interrupted claims"] if self.interrupts else words)


#: What the command explores.
LARGER: Final = (
    Bound(interrupts=True),
    Bound(kills=1),
    Bound(people=1),
    Bound(skews=1),
    Bound(failures=1),
    Bound(orders=1, kills=2, failures=1),
    Bound(orders=1, kills=1, people=2, interrupts=True),
    Bound(orders=1, failures=1, people=1),
)


class RuleBrokenError(AssertionError):
    """A rule was broken. The message tells all the moves that led there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    states: int
    transitions: int
    depth: int
    quiet: int
    seconds: float
    kinds: Counter[str]

    def __str__(self) -> str:
        kinds = ", ".join(
            f"{kind} {count:,}" for kind, count in sorted(self.kinds.items())
        )
        return (
            f"{self.states:,} states, {self.quiet:,} of them quiet, "
            f"{self.transitions:,} transitions ({kinds}), depth {self.depth}, "
            f"{self.seconds:.1f} s"
        )


def explore(bound: Bound, progress: Callable[[int, int], None] | None = None) -> Report:
    """Visit every state. Raises RuleBrokenError for a rule, with a shortest way."""
    began = time.perf_counter()
    with _settings(), _rolled_back(), _opened(bound) as stage:
        first = _first_world(bound)
        numbers = {first.key(): 0}
        ways: list[tuple[int, str]] = [(-1, "the orders are placed")]
        depths, quiet = [0], set[int]()
        fair = list[tuple[int, int]]()
        kinds, open_ = Counter[str](), deque([(0, first)])
        while open_:
            number, world = open_.popleft()
            if world.is_quiet:
                quiet.add(number)
            for move, after in stage.steps(world):
                kinds[move.kinds[0]] += 1
                key = after.key()
                known = numbers.get(key)
                if known is None:
                    known = numbers[key] = len(ways)
                    ways.append((number, move.name))
                    depths.append(depths[number] + 1)
                    open_.append((known, after))
                    for rule in broken_in(after):
                        raise RuleBrokenError(_story(rule, ways, known))
                for rule in broken_by(world, move.kinds, after):
                    raise RuleBrokenError(
                        _story(rule, [*ways, (number, move.name)], len(ways))
                    )
                if move.is_fair:
                    fair.append((number, known))
            if progress:
                progress(len(numbers), len(open_))
        for stuck in _never_quiet(len(ways), quiet, fair):
            raise RuleBrokenError(_story("the orders never come to rest", ways, stuck))
    return Report(
        states=len(numbers),
        transitions=kinds.total(),
        depth=max(depths),
        quiet=len(quiet),
        seconds=time.perf_counter() - began,
        kinds=kinds,
    )


def _never_quiet(
    count: int, quiet: set[int], fair: list[tuple[int, int]]
) -> Iterator[int]:
    """States from which healthy workers and time alone lead to no end."""
    before: list[list[int]] = [[] for _ in range(count)]
    for source, target in fair:
        before[target].append(source)
    found, open_ = set(quiet), list(quiet)
    while open_:
        for source in before[open_.pop()]:
            if source not in found:
                found.add(source)
                open_.append(source)
    return (number for number in range(count) if number not in found)


def _story(rule: str, ways: list[tuple[int, str]], number: int) -> str:
    steps = list[str]()
    while number >= 0:
        number, name = ways[number]
        steps.append(name)
    lines = [f"{at:>3}. {step}" for at, step in enumerate(reversed(steps))]
    return "\n".join([rule, *lines])


def _first_world(bound: Bound) -> World:
    """All orders are placed at once, and due."""
    for model in (Conversion, Circuit):
        model.objects.all().delete()
    click = Attribution.from_landing(LANDING, captured_at=START)
    click.save()
    for number in range(bound.orders):
        outbox.record(
            Purchase(
                order_id=f"ORD-{number}",
                value=Decimal("99.97"),
                currency="USD",
                event_time=START,
                contents=[Item(id="sku", quantity=1, item_price=Decimal("99.97"))],
            ),
            attribution=click,
        )
    budget = Budget(
        kills=bound.kills,
        failures=bound.failures,
        people=bound.people,
        skews=bound.skews,
    )
    return World(
        tables=read_tables(),
        now=0,
        skew=0,
        workers=(Worker(),) * WORKERS,
        budget=budget,
    )


@contextmanager
def _opened(bound: Bound) -> Iterator[Stage]:
    stage = Stage(answers=bound.answers, interrupts=bound.interrupts)
    with stage.opened():
        yield stage


@contextmanager
def _settings() -> Iterator[None]:
    known: Any = settings.CONNECTLY_TRACKING
    ours = {
        "LEASE": LEASE,
        "DEADLINE": DEADLINE,
        "RETRY_SCHEDULE": [100],
        "PROBE_SCHEDULE": [60],
        "MAX_EVENT_AGE": MAX_AGE,
        "ATTRIBUTION_WINDOW": None,
        "BATCH": 2,
    }
    with override_settings(CONNECTLY_TRACKING={**known, **ours}):
        yield


@contextmanager
def _rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
