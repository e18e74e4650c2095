"""In any order of events, no order is lost and none is sent for nothing.

``CONNECTLY_EXAMPLES=2000`` tries so many interleavings, and other ones each time. A
server is asked for fewer of those that SQLite has passed.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from .statemachine.api import Behaviour
from .statemachine.machine import Interleaving
from .statemachine.world import ALIASES, BUSINESS_ID, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Configure

WORLD: Final[dict[str, Any]] = {
    "BATCH": 3,
    "ATTRIBUTION_WINDOW": None,
    "MAX_EVENT_AGE": timedelta(days=7),
    "BUSINESSES": {ALIASES[1]: {"BUSINESS_ID": BUSINESS_ID, "API_KEY": "another-key"}},
}
LONG: Final = "CONNECTLY_EXAMPLES" in os.environ
EXAMPLES: Final = int(
    os.environ.get("CONNECTLY_EXAMPLES", 40 if connection.vendor == "sqlite" else 20)
)


@pytest.mark.timeout(0 if LONG else 600)  # shrinking a failure takes time
@pytest.mark.django_db
def test_any_interleaving_of_workers_faults_and_people_keeps_the_invariants(
    configure: Configure,
) -> None:
    configure(**WORLD)
    run_state_machine_as_test(
        Interleaving,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            report_multiple_bugs=False,
            derandomize=not LONG,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


@pytest.fixture
def interleaving(db: None, configure: Configure) -> Iterator[Interleaving]:
    configure(**WORLD)
    state = Interleaving()
    yield state
    state.teardown()


def come_between(state: Interleaving, *, number: int, moves: int) -> None:
    """Another worker goes on just before this one writes its result."""
    state.a_worker_comes_between(
        at=0,
        behaviour=None,
        moves=moves,
        number=number,
        other=1,
        others_behaviour=None,
        others_moves=1,
    )


def test_a_row_that_is_taken_while_its_result_is_written_is_the_takers(
    interleaving: Interleaving,
) -> None:
    interleaving.the_shop_opens(count=1)
    interleaving.an_order_is_cancelled(order=0)
    interleaving.the_api(rounds=0, weather=Behaviour.LOSES_THE_ANSWER)
    interleaving.a_worker_is_killed_within(at=0, behaviour=None, moves=1, number=2)
    come_between(interleaving, number=2, moves=2)


def test_a_late_confirmation_takes_the_row_back_while_it_is_written(
    interleaving: Interleaving,
) -> None:
    interleaving.the_shop_opens(count=0)
    interleaving.orders_are_completed(alias="default", count=1, kind=Kind.PLAIN)
    come_between(interleaving, number=0, moves=3)
