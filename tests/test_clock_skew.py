"""A worker whose clock is wrong ends nothing: the database's clock decides."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.utils import timezone

import connectly_tracking
from connectly_tracking import outbox, retention
from connectly_tracking.attribution import ClickSource
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import claim, expire
from connectly_tracking.delivery.run import Run
from connectly_tracking.models import (
    Attribution,
    Conversion,
    DbNow,
    DeliveryAttempt,
    OrderAttribution,
    State,
)
from connectly_tracking.outbox import PaidOrder, record_order

from .conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectly_tracking.sandbox import Sandbox

    Skew = Callable[[float], None]

pytestmark = pytest.mark.django_db
DAY: Final = 86_400.0
SKEWS: Final = [8 * DAY, 45, 3700, 400 * DAY, -45, -8 * DAY]
#: The modules that run in a worker, and all that they may end there.
WORKERS_WING: Final = [
    *Path(connectly_tracking.__file__).parent.glob("delivery/*.py"),
    *(
        Path(connectly_tracking.__file__).with_name(f"{name}.py")
        for name in ("tasks", "retention")
    ),
]


@pytest.fixture
def skew(monkeypatch: pytest.MonkeyPatch) -> Skew:
    """Set this process's clock so many seconds ahead of the database's."""
    now = timezone.now

    def skew(seconds: float) -> None:
        monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(seconds=seconds))

    return skew


def record(count: int = 1, *, days: float = 0) -> list[Conversion]:
    click = make_click(age=60 + days * DAY)
    placed = int(time.time() - days * DAY)
    return [
        outbox.record(
            make_purchase(f"ORD-{days:g}-{number}", event_time=placed),
            attribution=click,
        )
        for number in range(count)
    ]


def states() -> list[str]:
    return list(Conversion.objects.order_by("pk").values_list("state", flat=True))


@pytest.mark.parametrize("seconds", SKEWS)
def test_fresh_orders_are_sent_whatever_the_workers_clock_shows(
    sandbox: Sandbox, skew: Skew, seconds: float
) -> None:
    record(20)
    skew(seconds)
    assert deliver() == {State.DELIVERED: 20}


@pytest.mark.parametrize("seconds", SKEWS)
def test_an_old_order_expires_by_the_databases_clock(
    sandbox: Sandbox, skew: Skew, seconds: float
) -> None:
    record(days=6.99)
    record(days=7.01)
    skew(seconds)
    assert deliver() == {State.DELIVERED: 1, State.EXPIRED: 1}


@pytest.mark.parametrize("age", [timedelta(hours=1), timedelta(days=3), None])
def test_other_limits_are_kept_by_the_databases_clock_too(
    sandbox: Sandbox, configure: Any, skew: Skew, age: timedelta | None
) -> None:
    configure(MAX_EVENT_AGE=age)
    record(3)
    skew(400 * DAY)
    assert deliver() == {State.DELIVERED: 3}


def test_during_a_pause_only_what_is_old_expires(skew: Skew) -> None:
    record(days=7.5)
    record(days=6.5)
    skew(8 * DAY)
    batch = expire(Run.begin(), "default", 64)
    assert batch is not None
    assert list(batch.ended.values()) == [State.EXPIRED]
    assert expire(Run.begin(), "default", 64) is None
    assert states() == [State.EXPIRED, State.PENDING]


def test_what_a_worker_left_behind_or_a_person_replayed_is_sent(
    sandbox: Sandbox, skew: Skew
) -> None:
    record(2, days=1)
    assert claim(Run.begin(), "default", 1) is not None
    Conversion.objects.filter(state=State.SENDING).update(due_at=DbNow(-1))
    Conversion.objects.filter(state=State.PENDING).update(
        state=State.EXPIRED, reason="expired", due_at=None, event_time=None
    )
    outbox.replay(Conversion.objects.filter(state=State.EXPIRED))
    skew(8 * DAY)
    assert deliver() == {State.DELIVERED: 2}


@pytest.mark.parametrize("seconds", [8 * DAY, 30 * DAY, -8 * DAY])
def test_a_backfill_expires_by_the_databases_clock(skew: Skew, seconds: float) -> None:
    click = make_click(age=9 * DAY)
    young, old = (
        PaidOrder(purchase=make_purchase(f"ORD-{days}", event_time=int(at)))
        for days in (1, 8)
        for at in [time.time() - days * DAY]
    )
    skew(seconds)
    for order in (young, old):
        record_order(order, ClickSource(attribution=click), is_backfill=True)
    assert Conversion.objects.get(order_id="ORD-1").state == State.PENDING
    # If the clock is behind, the row is left to the workers.
    expected = State.EXPIRED if seconds > 0 else State.PENDING
    assert Conversion.objects.get(order_id="ORD-8").state == expected


def test_nothing_is_pruned_by_a_clock_that_is_ahead(
    sandbox: Sandbox, skew: Skew
) -> None:
    record(2)
    deliver()
    waiting = outbox.record(make_purchase("NO-CLICK"))
    OrderAttribution.objects.create(key="k", order_id="ORD-1")
    skew(1000 * DAY)
    assert retention.prune() == (0, 0)
    assert Attribution.objects.count() == OrderAttribution.objects.count() == 1
    waiting.refresh_from_db()
    assert waiting.payload


@pytest.mark.parametrize("seconds", [8 * DAY, -3700])
def test_attempts_have_the_databases_time(
    sandbox: Sandbox, skew: Skew, seconds: float
) -> None:
    record()
    before = timezone.now()
    skew(seconds)
    deliver()
    attempt = DeliveryAttempt.objects.get()
    assert attempt.finished_at is not None
    assert abs(attempt.started_at - before) < timedelta(seconds=30)
    assert timedelta() < attempt.finished_at - attempt.started_at < timedelta(seconds=9)


def test_nothing_in_a_worker_reads_its_own_clock() -> None:
    wall_clock = re.compile(r"timezone\.now|datetime\.(now|utcnow|today)|time\.time\(")
    assert len(WORKERS_WING) > 8
    for path in WORKERS_WING:
        assert not wall_clock.search(path.read_text()), path
