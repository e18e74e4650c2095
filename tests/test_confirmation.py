"""The statement that writes confirmations, beside what the ORM writes."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectly_tracking.api.verdicts import Outcome, Verdict
from connectly_tracking.delivery.claim import Claimed, claim
from connectly_tracking.delivery.run import Run
from connectly_tracking.delivery.send import Result
from connectly_tracking.delivery.settle import Settlement
from connectly_tracking.models import (
    Circuit,
    Conversion,
    DbNow,
    DeliveryAttempt,
    State,
    write_confirmed,
)

from .test_delivery import fresh, record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectly_tracking.delivery.claim import Batch

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]

CONFIRMED = Verdict(outcome=Outcome.CONFIRMED, status_code=200, detail="cf-ray: 'é' %s")
REFUSED = Verdict(outcome=Outcome.REFUSED, status_code=400, detail="no")


def claimed(count: int = 1) -> tuple[Run, Batch]:
    record(count)
    run = Run.begin()
    batch = claim(run, "default", count)
    assert batch is not None
    return run, batch


def result_of(row: Claimed, verdict: Verdict = CONFIRMED) -> Result:
    at = timezone.now().replace(microsecond=123456)
    later = at + timedelta(seconds=1)
    return Result(row=row, verdict=verdict, started_at=at, finished_at=later)


def written(run: Run, batch: Batch, results: Sequence[Result]) -> Settlement:
    settlement = Settlement(run, batch)
    assert settlement.write(results)
    return settlement


def test_a_group_of_confirmations_is_one_statement() -> None:
    run, batch = claimed(16)
    results = [result_of(row) for row in batch.rows]
    with CaptureQueriesContext(connection) as queries:
        settlement = written(run, batch, results)
    assert len(queries) == 1  # and no transaction around it
    assert settlement.tally == {State.DELIVERED: 16}
    assert settlement.is_calm
    assert DeliveryAttempt.objects.count() == 16


@pytest.mark.parametrize("use_tz", [True, False])
def test_it_writes_what_the_orm_writes(settings: Any, use_tz: bool) -> None:
    settings.USE_TZ = use_tz
    run, batch = claimed(3)
    Conversion.objects.update(ended_at=timezone.now(), reason="x")
    first, second, refused = batch.rows
    at_once = result_of(first)
    written(run, batch, [at_once])
    # With another answer in the group, each is written by the ORM.
    with CaptureQueriesContext(connection) as queries:
        written(run, batch, [result_of(second), result_of(refused, REFUSED)])
    assert not any(it["sql"].startswith("WITH") for it in queries)
    ours, theirs = (fresh_columns(row.pk) for row in (first, second))
    assert abs(ours.pop("delivered_at") - theirs.pop("delivered_at")) < timedelta(1)
    assert ours == theirs
    attempts = [DeliveryAttempt.objects.get(pk=it.attempt_id) for it in (first, second)]
    assert attempts[0].started_at == at_once.started_at
    assert attempts[0].finished_at == at_once.finished_at
    for name in ("outcome", "status_code", "detail"):
        assert getattr(attempts[0], name) == getattr(attempts[1], name)
    assert DeliveryAttempt.objects.count() == 3


def fresh_columns(pk: int) -> dict[str, Any]:
    own = ("id", "key", "order_id", "body", "recorded_at")
    row = Conversion.objects.filter(pk=pk).values().get()
    return {name: value for name, value in row.items() if name not in own}


def test_an_unknown_result_that_another_worker_wrote_is_replaced() -> None:
    run, batch = claimed()
    (row,) = batch.rows
    DeliveryAttempt.objects.create(
        pk=row.attempt_id, conversion_id=row.pk, started_at=timezone.now()
    )
    written(run, batch, [result_of(row)])
    assert DeliveryAttempt.objects.get().outcome == "confirmed"


@pytest.mark.parametrize(
    "change",
    [
        {"lease_token": uuid.UUID(int=1)},
        {"state": State.PENDING, "lease_token": None},
        {"state": State.DELIVERED, "due_at": None, "lease_token": None},
    ],
    ids=["claimed by another", "given back", "delivered"],
)
def test_a_row_that_is_not_held_any_more_is_left_alone(change: dict[str, Any]) -> None:
    run, batch = claimed(2)
    lost, kept = batch.rows
    Conversion.objects.filter(pk=lost.pk).update(**change)
    before = Conversion.objects.filter(pk=lost.pk).values().get()
    attempts = [
        DeliveryAttempt(
            pk=row.attempt_id, conversion_id=row.pk, started_at=timezone.now()
        )
        for row in (lost, kept)
    ]
    tokens = [batch.token, batch.token]
    found = write_confirmed(attempts, tokens, business="default", using=run.using)
    assert found == {kept.pk: False}
    assert Conversion.objects.filter(pk=lost.pk).values().get() == before
    assert DeliveryAttempt.objects.get().conversion_id == kept.pk


def test_the_others_of_the_group_are_written_by_the_orm() -> None:
    run, batch = claimed(2)
    lost, kept = batch.rows
    Conversion.objects.filter(pk=lost.pk).update(due_at=DbNow(-1))
    again = claim(run, "default", 1)
    assert again is not None
    settlement = written(run, batch, [result_of(lost), result_of(kept)])
    assert settlement.tally == {State.DELIVERED: 2}
    outcomes = DeliveryAttempt.objects.values_list("outcome", flat=True)
    assert sorted(outcomes) == ["confirmed", "confirmed", "unknown"]


@pytest.mark.parametrize(
    ("circuit", "is_calm"),
    [({}, True), ({"failures": 1}, False), ({"refusals": 1}, False)],
)
def test_it_says_whether_the_business_is_in_trouble(
    circuit: dict[str, int], is_calm: bool
) -> None:
    run, batch = claimed()
    Circuit.objects.create(business="default", changed_at=DbNow(), **circuit)
    settlement = written(run, batch, [result_of(batch.rows[0])])
    assert settlement.is_calm == is_calm


def test_it_ends_with_the_transaction_of_the_caller() -> None:
    run, batch = claimed()
    (row,) = batch.rows
    with transaction.atomic():
        written(run, batch, [result_of(row)])
        transaction.set_rollback(True)
    assert fresh(Conversion.objects.get()).state == State.SENDING
    assert not DeliveryAttempt.objects.exists()


def test_above_read_committed_it_runs_in_a_transaction_of_that_level() -> None:
    run, batch = claimed()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_isolation = 'serializable'")
        connected: Any = connection
        connected.isolation_level = type(connected.isolation_level).SERIALIZABLE
        with CaptureQueriesContext(connection) as queries:
            written(run, batch, [result_of(batch.rows[0])])
    finally:
        connection.close()
    levels = [it["sql"] for it in queries if "ISOLATION LEVEL" in it["sql"]]
    assert levels == ["SET TRANSACTION ISOLATION LEVEL READ COMMITTED"]
    assert Conversion.objects.get().state == State.DELIVERED
