"""Every state of some small worlds is visited, and each rule holds in all of them.

``python -m tests.exploration`` explores larger ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone

from connectly_tracking.delivery.claim import Claimed
from connectly_tracking.delivery.send import Result
from connectly_tracking.models import ConversionQuerySet, DbNow, State

from .exploration.search import Bound, RuleBrokenError, explore
from .statemachine.api import Behaviour
from .statemachine.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta
    from uuid import UUID

#: The settings are refused, so the business is paused.
PAUSE = (Behaviour.CONFIRMS, Behaviour.IS_MISCONFIGURED)

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


@pytest.mark.parametrize(
    ("bound", "at_least"),
    [
        (Bound(), 2000),
        (Bound(orders=1, kills=1, interrupts=True), 250),
        (Bound(orders=1, people=1), 1500),
        (Bound(orders=1, failures=1, answers=PAUSE), 1000),
        (Bound(orders=1, skews=1), 400),
    ],
    ids=str,
)
def test_every_state_of_a_small_world_keeps_the_rules(
    bound: Bound, at_least: int
) -> None:
    report = explore(bound)
    print(f"{bound}: {report}")  # noqa: T201 - the figures, shown with -s
    assert report.states > at_least
    assert report.quiet


@pytest.mark.django_db(transaction=True)
def test_a_statement_that_ran_before_shows_the_clock_of_the_test() -> None:
    def database_time() -> str:
        sql, parameters = DbNow().as_sqlite(None, connection)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {sql}", parameters)
            return str(cursor.fetchone()[0])

    connection.close()  # so that nothing was replaced on it yet
    real = database_time()
    with Clock().shown():
        assert database_time().startswith("2020-01-01")
    assert database_time()[:10] >= real[:10]


def _due_without_lease(
    rows: ConversionQuerySet, businesses: Collection[str]
) -> ConversionQuerySet:
    waiting = rows.filter(business__in=[*businesses, ""], due_at__isnull=False)
    return waiting.order_by("business", "due_at")


def _held_by_anybody(rows: ConversionQuerySet, token: UUID) -> ConversionQuerySet:
    return rows.all()


def _ends_by_its_own_clock(
    row: Claimed, greatest_age: timedelta, age_field: str
) -> State | None:
    is_old = (
        row.event_time is not None and timezone.now() - row.event_time > greatest_age
    )
    return State.EXPIRED if is_old else None


@pytest.mark.parametrize(
    ("owner", "name", "fault", "bound", "rule"),
    [
        pytest.param(
            ConversionQuerySet,
            "due",
            _due_without_lease,
            Bound(orders=1),
            "in two hands",
            id="a claim without the lease condition",
        ),
        pytest.param(
            ConversionQuerySet,
            "held_by",
            _held_by_anybody,
            Bound(orders=1, failures=1),
            "in two hands",
            id="a settlement without the token",
        ),
        pytest.param(
            Claimed,
            "ends_as",
            _ends_by_its_own_clock,
            Bound(orders=1, skews=1),
            "expired before its time",
            id="an expiry by the worker's own clock",
        ),
        pytest.param(
            Result,
            "is_confirmed",
            True,
            Bound(orders=1, failures=1),
            "never confirmed it",
            id="an answer that is taken for a confirmation",
        ),
    ],
)
def test_a_seeded_fault_is_found(
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    fault: Any,
    bound: Bound,
    rule: str,
) -> None:
    monkeypatch.setattr(owner, name, fault)
    with pytest.raises(RuleBrokenError, match=rule) as found:
        explore(bound)
    story = str(found.value).splitlines()
    assert story[1].endswith("orders are placed")
    assert len(story) < 20  # a shortest way
