"""Which rows are claimed together, which alone, and which are ended instead."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import MAX_CRASHES, Batch, claim, expire
from connectly_tracking.delivery.run import Run
from connectly_tracking.models import (
    Attribution,
    Conversion,
    DbNow,
    Reason,
    State,
)
from connectly_tracking.signals import conversion_failed

from .conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db


def record(count: int = 1, name: str = "ORD") -> list[Conversion]:
    click = Attribution.objects.first() or make_click()
    return [
        outbox.record(make_purchase(f"{name}-{number}"), attribution=click)
        for number in range(count)
    ]


def take(limit: int = 64) -> Batch:
    batch = claim(Run.begin(), "default", limit)
    assert batch is not None
    return batch


def leave_behind() -> None:
    """As if the worker that holds them had died and the lease was over."""
    Conversion.objects.filter(state=State.SENDING).update(due_at=DbNow(-1))


def grow_old(*rows: Conversion, days: float) -> None:
    Conversion.objects.filter(pk__in=[row.pk for row in rows]).update(
        event_time=timezone.now() - timedelta(days=days)
    )


def fresh(row: Conversion) -> Conversion:
    return Conversion.objects.get(pk=row.pk)


@pytest.fixture
def failed() -> Iterator[list[Conversion]]:
    said: list[Conversion] = []

    def listen(sender: Any, *, conversion: Conversion, **_: Any) -> None:
        said.append(conversion)

    conversion_failed.connect(listen)
    yield said
    conversion_failed.disconnect(listen)


def test_what_a_worker_left_behind_is_taken_alone() -> None:
    record(3)
    assert len(take().rows) == 3
    leave_behind()
    for _ in range(3):
        (row,) = take().rows
        assert (row.attempts, row.crashes) == (2, 1)
    assert claim(Run.begin(), "default", 64) is None


def test_those_that_wait_do_not_wait_for_the_suspects_nor_these_for_them() -> None:
    record(2, "LEFT")
    take()
    leave_behind()
    record(3, "NEW")
    sizes = [len(take().rows) for _ in range(3)]
    assert sizes == [1, 1, 3]
    assert claim(Run.begin(), "default", 64) is None


def test_a_suspect_that_is_due_later_is_left_out_of_a_batch() -> None:
    oldest, suspect, youngest = record(3)
    for row, age in [(oldest, 3), (suspect, 2), (youngest, 1)]:
        Conversion.objects.filter(pk=row.pk).update(due_at=DbNow(-age))
    Conversion.objects.filter(pk=suspect.pk).update(crashes=1)
    assert [row.pk for row in take().rows] == [oldest.pk, youngest.pk]
    assert [row.pk for row in take().rows] == [suspect.pk]


def test_a_row_that_stops_its_worker_each_time_is_rejected(
    sandbox: Sandbox, failed: list[Conversion]
) -> None:
    killer, *others = record(4)
    take()
    leave_behind()
    Conversion.objects.exclude(pk=killer.pk).update(due_at=DbNow(3600))
    for crash in range(1, MAX_CRASHES + 1):
        (row,) = take().rows
        assert row.crashes == crash
        leave_behind()
        Conversion.objects.exclude(pk=killer.pk).update(due_at=DbNow(3600))
    Conversion.objects.exclude(pk=killer.pk).update(due_at=DbNow())
    assert deliver() == {State.DELIVERED: 3, State.REJECTED: 1}
    assert (fresh(killer).state, fresh(killer).reason) == (
        State.REJECTED,
        Reason.INTERNAL,
    )
    assert "worker" in fresh(killer).detail
    assert {fresh(row).state for row in others} == {State.DELIVERED}
    assert [row.pk for row in failed] == [killer.pk]


def test_a_suspect_that_was_given_back_in_the_end_is_sent_once_more() -> None:
    (row,) = record()
    Conversion.objects.update(crashes=MAX_CRASHES)
    assert [claimed.pk for claimed in take().rows] == [row.pk]
    assert fresh(row).crashes == MAX_CRASHES


def test_a_probe_is_the_row_with_the_fewest_attempts_of_a_whole_batch() -> None:
    *tried, young = record(4)
    Conversion.objects.filter(pk__in=[row.pk for row in tried]).update(attempts=2)
    batch = claim(Run.begin(), "default", 1, is_probe=True)
    assert batch is not None
    assert [row.pk for row in batch.rows] == [young.pk]


def test_a_row_with_an_answer_is_no_suspect_any_more(sandbox: Sandbox) -> None:
    row, _other = record(2)
    take()
    leave_behind()
    sandbox.behave("500", order_id=row.order_id)
    deliver()
    assert fresh(row).crashes == 0
    Conversion.objects.filter(pk=row.pk).update(due_at=DbNow())
    record(1, "NEW")
    assert len(take().rows) == 2


def test_a_suspect_that_was_given_back_is_still_taken_alone() -> None:
    record(1, "LEFT")
    take()
    leave_behind()
    batch = take()
    Conversion.objects.all().held_by(batch.token).release()
    record(1, "NEW")
    (row,) = take().rows
    assert (row.attempts, row.crashes) == (2, 1)


def test_an_event_that_is_too_old_expires_and_is_never_sent(
    sandbox: Sandbox, failed: list[Conversion]
) -> None:
    old, young = record(2)
    grow_old(old, days=7.01)
    grow_old(young, days=6.99)
    assert deliver() == {State.EXPIRED: 1, State.DELIVERED: 1}
    assert (fresh(old).state, fresh(old).reason) == (State.EXPIRED, Reason.EXPIRED)
    assert fresh(old).due_at is None
    assert [row.pk for row in failed] == [old.pk]
    assert not deliver()
    assert sandbox.received_count == 1


def test_what_was_left_behind_expires_too(sandbox: Sandbox) -> None:
    (row,) = record()
    take()
    leave_behind()
    grow_old(row, days=8)
    assert deliver() == {State.EXPIRED: 1}
    assert fresh(row).lease_token is None
    assert_unknown(row)


def test_what_was_left_behind_expires_while_paused_with_its_unknown_try() -> None:
    (row,) = record()
    batch = take()
    leave_behind()
    grow_old(row, days=8)
    ended = expire(Run.begin(), "default", 1)
    assert ended is not None
    assert [*ended.ended] == [row.pk]
    assert_unknown(row)
    assert row.delivery_attempts.get().pk == batch.rows[0].attempt_id


def assert_unknown(row: Conversion) -> None:
    """Its worker ended, and nobody knows what became of the request."""
    attempt = row.delivery_attempts.get()
    assert (attempt.outcome, attempt.finished_at) == ("unknown", None)


@pytest.mark.parametrize(
    ("placed", "recorded", "replayed", "is_sent"),
    [
        (8, 0, None, True),
        (31, 0, None, True),
        (4000, 29.9, None, True),
        (4000, 30.1, None, False),
        (30.1, 30.1, None, False),
        (40, 40, 29.9, True),
        (40, 40, 30.1, False),
    ],
)
@pytest.mark.parametrize("is_suspect", [True, False])
@pytest.mark.parametrize("is_paused", [True, False])
def test_without_a_greatest_age_an_order_has_thirty_days_from_its_record(
    sandbox: Sandbox,
    configure: Any,
    placed: float,
    recorded: float,
    replayed: float | None,
    is_sent: bool,
    is_suspect: bool,
    is_paused: bool,
) -> None:
    configure(MAX_EVENT_AGE=None)
    (row,) = record()
    if is_suspect:
        take()
        leave_behind()
    now = timezone.now()
    Conversion.objects.update(
        event_time=now - timedelta(days=placed),
        recorded_at=now - timedelta(days=recorded),
        replayed_at=None if replayed is None else now - timedelta(days=replayed),
    )
    if is_paused:
        ended = expire(Run.begin(), "default", 64)
        assert (ended is None) == is_sent
    else:
        assert deliver() == {State.DELIVERED if is_sent else State.EXPIRED: 1}
    assert (fresh(row).state == State.EXPIRED) != is_sent


def test_many_that_are_too_old_are_ended_in_few_statements(
    sandbox: Sandbox, django_assert_max_num_queries: Any
) -> None:
    grow_old(*record(100), days=8)
    with django_assert_max_num_queries(30):
        assert deliver() == {State.EXPIRED: 100}


def test_a_backlog_is_claimed_from_where_the_last_batch_ended() -> None:
    rows = record(4)
    for row, age in zip(rows, (40, 30, 20, 10), strict=True):
        Conversion.objects.filter(pk=row.pk).update(due_at=DbNow(-age))
    first = take(2)
    assert [row.pk for row in first.rows] == [rows[0].pk, rows[1].pk]
    Conversion.objects.filter(pk=rows[0].pk).update(
        state=State.PENDING, lease_token=None, due_at=DbNow(-50)
    )
    run = Run.begin()
    later = claim(run, "default", 2, is_extra=True, since=first.last_due_at)
    assert later is not None
    assert [row.pk for row in later.rows] == [rows[2].pk, rows[3].pk]
    assert claim(run, "default", 2, is_extra=True, since=later.last_due_at) is None
    assert [row.pk for row in take(2).rows] == [rows[0].pk]


def test_what_became_due_behind_a_backlog_is_sent_with_it(
    sandbox: Sandbox, configure: Any
) -> None:
    configure(BATCH=2)
    rows = record(6)
    for row, age in zip(rows, range(60, 0, -10), strict=True):
        Conversion.objects.filter(pk=row.pk).update(due_at=DbNow(-age))
    Conversion.objects.filter(pk=rows[0].pk).update(due_at=DbNow(3600))

    def come() -> bool:
        if sandbox.received_count >= 2:
            late = Conversion.objects.filter(pk=rows[0].pk, due_at__gt=DbNow(300))
            late.update(due_at=DbNow(-90))
        return False

    assert deliver(stop=come) == {State.DELIVERED: 6}
