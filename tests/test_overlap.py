"""What is claimed while the rows before it are under way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from connectly_tracking.delivery import deliver, worker
from connectly_tracking.delivery.run import windows
from connectly_tracking.models import Conversion, DbNow, State

from .test_delivery import fresh, record, statements_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db


def comes(row: Conversion, sandbox: Sandbox) -> Callable[[], bool]:
    """A worker that asks whether to stop: the row is due once another was sent."""

    def come() -> bool:
        if sandbox.received_count:
            waiting = Conversion.objects.filter(pk=row.pk, due_at__gt=DbNow(300))
            waiting.update(due_at=DbNow(-1))
        return False

    return come


def test_what_comes_while_others_are_under_way_need_not_wait_for_their_answers(
    sandbox: Sandbox,
) -> None:
    first, late = record(2)
    windows.grow("default", 2)
    Conversion.objects.filter(pk=late.pk).update(due_at=DbNow(3600))
    sandbox.behave("delay:2", order_id=first.order_id)

    batches: list[Any] = []
    assert deliver(stop=comes(late, sandbox), report=batches.append) == {
        State.DELIVERED: 2
    }
    assert batches == [{State.DELIVERED: 2}]


def test_the_next_batch_is_claimed_when_the_last_row_of_one_is_sent(
    sandbox: Sandbox, configure: Any
) -> None:
    configure(BATCH=4, THREADS=4)
    windows._sizes["default"] = 4
    sandbox.behave("delay:0.2")
    record(12)
    batches: list[Any] = []
    with CaptureQueriesContext(connection) as queries:
        assert deliver(report=batches.append) == {State.DELIVERED: 12}
    assert batches == [{State.DELIVERED: 12}]
    claims = [it for it in statements_of(queries) if "body" in it]
    continued = [bool(re.search("due_at. >=", sql)) for sql in claims]
    assert continued[:3] == [False, True, True]


def test_what_is_claimed_meanwhile_keeps_to_the_limit_and_the_time(
    sandbox: Sandbox, configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(BATCH=4, THREADS=4)
    windows._sizes["default"] = 4
    record(12)
    assert deliver(limit=6).claimed == 6
    assert deliver(seconds=0).claimed == 4
    monkeypatch.setattr(worker, "LONGEST_WORK", 0)
    Conversion.objects.update(state=State.PENDING, due_at=DbNow())
    batches: list[Any] = []
    deliver(report=batches.append)
    assert batches == [{State.DELIVERED: 4}] * 3


def test_what_is_claimed_meanwhile_is_given_back_when_the_business_is_paused(
    sandbox: Sandbox, configure: Any
) -> None:
    configure(BATCH=2, THREADS=2)
    windows._sizes["default"] = 2
    rows = record(6)
    sandbox.behave(["ok", "ok", "401"])
    deliver()
    states = [fresh(row).state for row in rows]
    assert states.count(State.DELIVERED) in {2, 3}
    assert set(states) == {State.DELIVERED, State.PENDING}
    assert Conversion.objects.filter(state=State.PENDING, attempts=0).count() >= 3
    assert not Conversion.objects.exclude(lease_token=None).exists()


def test_a_row_that_may_crash_its_worker_is_not_claimed_beside_others(
    sandbox: Sandbox,
) -> None:
    first, suspect = record(2)
    windows.grow("default", 2)
    Conversion.objects.filter(pk=suspect.pk).update(crashes=1, due_at=DbNow(3600))
    sandbox.behave("delay:0.5", order_id=first.order_id)

    batches: list[Any] = []
    deliver(stop=comes(suspect, sandbox), report=batches.append)
    assert batches == [{State.DELIVERED: 1}, {State.DELIVERED: 1}]


def test_nothing_is_claimed_beside_a_row_that_may_crash_its_worker(
    sandbox: Sandbox,
) -> None:
    suspect, other = record(2)
    windows.grow("default", 2)
    Conversion.objects.filter(pk=suspect.pk).update(crashes=1, due_at=DbNow(-9))
    sandbox.behave("delay:0.5", order_id=suspect.order_id)
    batches: list[Any] = []
    deliver(report=batches.append)
    assert batches == [{State.DELIVERED: 1}, {State.DELIVERED: 1}]
    assert [it.order_id for it in sandbox.events] == [suspect.order_id, other.order_id]


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_claimed_meanwhile_costs_no_answer(
    sandbox: Sandbox, configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(BATCH=2, THREADS=2)
    windows._sizes["default"] = 2
    record(4)
    failed = list[str]()

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        is_claim = sql.startswith("SELECT") and "body" in sql and not failed
        if is_claim and Conversion.objects.filter(state=State.SENDING).exists():
            failed.append(sql)
            raise OperationalError("gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        assert deliver() == {State.DELIVERED: 4}
    assert failed
    assert sandbox.received_count == 4
    assert "nothing_claimed error=OperationalError" in caplog.text
