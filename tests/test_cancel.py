"""A cancellation stops what has not been sent, and nothing revives it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from connectly_tracking import outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import claim
from connectly_tracking.delivery.run import Run
from connectly_tracking.exceptions import InvalidEvent
from connectly_tracking.models import Attribution, Conversion, DbNow, Reason, State
from connectly_tracking.signals import order_cancelled, order_completed

from .conftest import broker_at, make_click, make_purchase

if TYPE_CHECKING:
    from redis import Redis

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db


def fresh(row: Conversion) -> Conversion:
    return Conversion.objects.get(pk=row.pk)


def test_what_waits_is_stopped(sandbox: Sandbox, click: Attribution) -> None:
    row = outbox.record(make_purchase(), attribution=click)
    order_cancelled.send(None, order_id=row.order_id)
    row = fresh(row)
    assert (row.state, row.reason, row.due_at) == (
        State.SKIPPED,
        Reason.CANCELLED,
        None,
    )
    assert row.cancelled_at is not None
    assert not deliver()
    assert not sandbox.requests


@pytest.mark.parametrize("given", [7821, UUID(int=7)])
def test_an_id_is_given_as_the_purchase_was(click: Attribution, given: Any) -> None:
    outbox.record(make_purchase(given), attribution=click)
    (row,) = outbox.cancel(given)
    assert row.state == State.SKIPPED


def test_what_is_delivered_stays_so_and_the_time_is_noted(
    sandbox: Sandbox, click: Attribution
) -> None:
    row = outbox.record(make_purchase(), attribution=click)
    deliver()
    (row,) = outbox.cancel(row.order_id)
    assert (row.state, row.reason) == (State.DELIVERED, "")
    first = row.cancelled_at
    assert first is not None
    assert outbox.cancel(row.order_id)[0].cancelled_at == first


def test_what_is_being_sent_is_not_tried_again(
    sandbox: Sandbox, click: Attribution
) -> None:
    row = outbox.record(make_purchase(), attribution=click)
    batch = claim(Run.begin(), "default", 1)
    assert batch is not None
    outbox.cancel(row.order_id)
    assert fresh(row).state == State.SENDING
    Conversion.objects.all().held_by(batch.token).mark_pending(0)
    assert deliver() == {State.SKIPPED: 1}
    assert fresh(row).reason == Reason.CANCELLED
    assert not sandbox.requests


def test_a_confirmation_that_was_under_way_wins(click: Attribution) -> None:
    row = outbox.record(make_purchase(), attribution=click)
    outbox.cancel(row.order_id)
    Conversion.objects.filter(pk=row.pk).mark_delivered()
    assert fresh(row).state == State.DELIVERED
    assert fresh(row).cancelled_at is not None


def test_no_later_signal_revives_a_cancelled_order(click: Attribution) -> None:
    row = outbox.record(make_purchase())
    assert row.reason == Reason.NOT_ATTRIBUTED
    outbox.cancel(row.order_id)
    row = outbox.record(make_purchase(), attribution=click)
    assert (row.state, row.reason) == (State.SKIPPED, Reason.NOT_ATTRIBUTED)


def test_an_order_that_was_never_recorded_is_no_error() -> None:
    assert outbox.cancel("never-seen") == []


def test_a_cancellation_rolls_back_with_the_shops_own(click: Attribution) -> None:
    row = outbox.record(make_purchase(), attribution=click)

    class BoomError(Exception): ...

    with pytest.raises(BoomError), transaction.atomic():
        order_cancelled.send(None, order_id=row.order_id)
        raise BoomError
    assert fresh(row).state == State.PENDING


def test_one_businesss_order_may_be_cancelled_alone(
    configure: Any, settings: Any, click: Attribution
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own})
    ours = outbox.record(make_purchase(), attribution=click)
    theirs = outbox.record(make_purchase(), attribution=click, business="br")
    outbox.cancel("ORD-7821", business="br")
    assert fresh(ours).state == State.PENDING
    assert fresh(theirs).state == State.SKIPPED


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"order_id": None},
        {"order_id": ""},
        {"order_id": "x", "oder": 1},
        {"order_id": "x", "business": "xb"},
    ],
)
def test_bad_input_is_said_and_harms_nobody(
    configure: Any, caplog: pytest.LogCaptureFixture, given: dict[str, Any]
) -> None:
    order_cancelled.send(None, **given)
    assert "order_not_cancelled" in caplog.text
    configure(STRICT=True)
    with pytest.raises(InvalidEvent):
        order_cancelled.send(None, **given)


def test_a_database_that_fails_harms_no_cancellation_of_the_shops(
    caplog: pytest.LogCaptureFixture, click: Attribution
) -> None:
    row = outbox.record(make_purchase(), attribution=click)

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and "conversion" in sql:
            return execute("UPDATE no_such_table SET a = 1", (), False, context)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        order_cancelled.send(None, order_id=row.order_id)
    assert Attribution.objects.count() == 1  # the transaction is whole
    assert f"order_not_cancelled order_id={row.order_id}" in caplog.text
    assert caplog.records[-1].levelno == logging.ERROR


class TestHold:
    def test_a_purchase_waits_so_long_and_nobody_is_woken(
        self,
        transactional_db: None,
        celery_broker: Redis,
        configure: Any,
        sandbox: Sandbox,
    ) -> None:
        configure(HOLD=600)
        click = make_click()
        order_completed.send(None, purchase=make_purchase(), attribution=click)
        row = Conversion.objects.get()
        assert row.state == State.PENDING
        assert Conversion.objects.filter(due_at__gt=DbNow(590)).exists()
        assert celery_broker.llen("celery") == 0
        assert not deliver()
        outbox.cancel(row.order_id)
        assert fresh(row).state == State.SKIPPED

    def test_without_it_the_workers_are_woken(
        self, transactional_db: None, celery_broker: Redis
    ) -> None:
        order_completed.send(None, purchase=make_purchase(), attribution=make_click())
        assert celery_broker.llen("celery") == 1


def test_a_broker_is_not_needed_to_cancel(click: Attribution) -> None:
    row = outbox.record(make_purchase(), attribution=click)
    with broker_at("redis://127.0.0.1:9/0"):
        assert outbox.cancel(row.order_id)[0].state == State.SKIPPED
