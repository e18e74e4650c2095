"""From a due row to its next state, over a real socket."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DataError, InterfaceError, OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.api.verdicts import Outcome, Verdict
from connectly_tracking.conf import conf
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import claim
from connectly_tracking.delivery.run import Run, windows
from connectly_tracking.delivery.send import MAX_GROUP_SIZE, Result, Sending
from connectly_tracking.delivery.settle import Settlement, retry_wait
from connectly_tracking.models import (
    Attribution,
    Circuit,
    Conversion,
    DbNow,
    DeliveryAttempt,
    Reason,
    State,
)
from connectly_tracking.signals import (
    conversion_delivered,
    conversion_failed,
    delivery_paused,
    delivery_resumed,
)

from .conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.dispatch import Signal

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
#: How the statement begins that writes a confirmation: by itself on PostgreSQL.
SETTLES = ("UPDATE", "WITH")
TABLES = frozenset({"connectly_tracking_conversion", "connectly_tracking_circuit"})


def record(count: int = 1, *, business: str = "default") -> list[Conversion]:
    click = make_click(business=business)
    return [
        outbox.record(make_purchase(f"ORD-{business}-{number}"), attribution=click)
        for number in range(count)
    ]


def fresh(row: Conversion) -> Conversion:
    return Conversion.objects.get(pk=row.pk)


def due_in(row: Conversion) -> float:
    due_at = fresh(row).due_at
    assert due_at is not None
    return (due_at - timezone.now()).total_seconds()


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Any]]]:
    """What the outward signals said, in order."""
    said: list[tuple[str, Any]] = []
    names: dict[str, Signal] = {
        "delivered": conversion_delivered,
        "failed": conversion_failed,
        "paused": delivery_paused,
        "resumed": delivery_resumed,
    }
    listeners = []
    for name, signal in names.items():

        def listen(sender: Any, *, heard_as: str = name, **said_with: Any) -> None:
            said_with.pop("signal")
            said.append((heard_as, said_with))

        signal.connect(listen, weak=False)
        listeners.append((signal, listen))
    yield said
    for signal, listener in listeners:
        signal.disconnect(listener)


def test_a_due_row_is_delivered_and_its_attempt_written_down(
    sandbox: Sandbox, heard: list[tuple[str, Any]]
) -> None:
    (row,) = record()
    assert deliver() == {State.DELIVERED: 1}
    row = fresh(row)
    assert (row.state, row.attempts, row.due_at, row.lease_token) == (
        State.DELIVERED,
        1,
        None,
        None,
    )
    assert row.delivered_at is not None
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.outcome, attempt.status_code) == ("confirmed", 200)
    assert attempt.finished_at is not None
    assert attempt.started_at <= attempt.finished_at
    assert [name for name, _ in heard] == ["delivered"]
    assert heard[0][1]["conversion"] == row


def test_the_bytes_on_the_wire_are_those_of_the_row_again_at_the_second_try(
    sandbox: Sandbox,
) -> None:
    (row,) = record()
    sandbox.behave("503", times=1)
    deliver()
    Conversion.objects.update(due_at=DbNow())
    deliver()
    first, second = sandbox.requests
    assert first.body == second.body == row.body.encode()
    assert (first.status, second.status) == (503, 200)
    assert fresh(row).attempts == 2
    outcomes = DeliveryAttempt.objects.values_list("outcome", "status_code")
    assert list(outcomes) == [("unavailable", 503), ("confirmed", 200)]


def test_nothing_due_costs_one_statement(sandbox: Sandbox) -> None:
    record()
    Conversion.objects.update(due_at=DbNow(60))
    with CaptureQueriesContext(connection) as queries:
        assert not deliver()
    assert len(statements_of(queries)) == 1
    assert not sandbox.requests


@pytest.mark.parametrize(
    ("behaviour", "outcome", "status"),
    [
        ("500", "unavailable", 500),
        ("503", "unavailable", 503),
        ("408", "unavailable", 408),
        ("429:90", "throttled", 429),
        ("reset-after", "unknown", None),
        ("half-body", "unknown", None),
        ("unconfirmed", "unconfirmed", 200),
        ("garbage", "unconfirmed", 200),
        ("empty", "unconfirmed", 200),
    ],
)
def test_what_may_pass_is_tried_again_by_the_schedule(
    sandbox: Sandbox, behaviour: str, outcome: str, status: int | None
) -> None:
    (row,) = record()
    sandbox.behave(behaviour)
    assert deliver() == {State.PENDING: 1}
    row = fresh(row)
    assert (row.state, row.attempts, row.lease_token) == (State.PENDING, 1, None)
    assert 20 < due_in(row) < 37 or behaviour == "429:90"
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.outcome, attempt.status_code) == (outcome, status)


def test_a_row_waits_as_long_as_the_api_asks(sandbox: Sandbox) -> None:
    (row,) = record()
    sandbox.behave("429:90")
    deliver()
    assert 85 < due_in(row) <= 91


def test_with_nobody_listening_the_row_was_not_sent() -> None:
    (row,) = record()
    deliver()
    attempt = DeliveryAttempt.objects.get()
    assert attempt.outcome == "not_sent"
    assert "refused" in attempt.detail
    assert fresh(row).state == State.PENDING


def test_a_refused_row_is_final_and_keeps_the_words(
    sandbox: Sandbox, heard: list[tuple[str, Any]]
) -> None:
    bad, good = record(2)
    sandbox.behave("400:(#100) Invalid <ctwa_clid>", order_id=bad.order_id)
    deliver()
    bad = fresh(bad)
    assert (bad.state, bad.reason, bad.due_at) == (
        State.REJECTED,
        Reason.REFUSED,
        None,
    )
    assert "(#100) Invalid <ctwa_clid>" in bad.delivery_attempts.get().detail
    assert fresh(good).state == State.DELIVERED
    assert sorted(name for name, _ in heard) == ["delivered", "failed"]


def test_a_row_that_is_never_confirmed_is_given_up_after_eight(
    sandbox: Sandbox,
) -> None:
    (row,) = record()
    sandbox.behave("garbage")
    for _ in range(8):
        assert fresh(row).state == State.PENDING
        Conversion.objects.update(due_at=DbNow())
        Circuit.objects.update(paused_until=DbNow())  # open after five
        deliver()
    row = fresh(row)
    assert (row.state, row.reason) == (State.REJECTED, Reason.UNCONFIRMED)
    assert row.attempts == 8


@pytest.mark.parametrize("behaviour", ["401", "403", "404", "redirect"])
def test_a_fault_of_the_configuration_pauses_the_business_and_costs_one_request(
    sandbox: Sandbox, heard: list[tuple[str, Any]], behaviour: str
) -> None:
    rows = record(20)
    sandbox.behave(behaviour)
    deliver()
    assert sandbox.received_count == 1
    assert {fresh(row).state for row in rows} == {State.PENDING}
    assert {fresh(row).attempts for row in rows} == {0}
    circuit = Circuit.objects.get()
    assert (circuit.business, circuit.reason) == ("default", "configuration")
    assert [name for name, _ in heard] == ["paused"]
    # The one attempt is there to be seen; those that were not sent left nothing.
    assert DeliveryAttempt.objects.get().outcome == "configuration"
    deliver()
    assert sandbox.received_count == 1


def test_a_pause_ends_with_a_probe_that_is_confirmed(
    sandbox: Sandbox, heard: list[tuple[str, Any]]
) -> None:
    rows = record(5)
    sandbox.behave("401", times=2)
    deliver()
    Circuit.objects.update(paused_until=DbNow())
    deliver()
    assert sandbox.received_count == 2
    Circuit.objects.update(paused_until=DbNow())
    deliver()
    assert {fresh(row).state for row in rows} == {State.DELIVERED}
    assert Circuit.objects.get().paused_until is None
    assert [name for name, _ in heard if name != "delivered"] == ["paused", "resumed"]


def test_changed_settings_end_a_pause_at_once(sandbox: Sandbox, configure: Any) -> None:
    rows = record(5)
    configure(API_KEY="the-wrong-key")
    deliver()
    assert sandbox.received_count == 1
    configure(API_KEY="key-for-tests-only")
    deliver()
    assert {fresh(row).state for row in rows} == {State.DELIVERED}


def test_without_a_key_nothing_is_sent_and_it_is_said(
    sandbox: Sandbox, configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (row,) = record()
    configure(API_KEY="")
    assert not deliver()
    assert fresh(row).state == State.PENDING
    assert "nothing_sent business=default" in caplog.text


def test_with_sending_off_nothing_is_claimed(sandbox: Sandbox, configure: Any) -> None:
    (row,) = record()
    configure(SEND=False)
    assert not deliver()
    assert fresh(row).attempts == 0


def test_businesses_are_sent_with_their_own_credentials(
    sandbox: Sandbox, configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(
        BUSINESSES={
            "br": {
                "BUSINESS_ID": "11111111-1111-4111-8111-111111111111",
                "API_KEY": "another-key",
            }
        }
    )
    (ours,), (theirs,) = record(), record(business="br")
    deliver()
    assert fresh(ours).state == State.DELIVERED
    assert fresh(theirs).state == State.PENDING  # this sandbox knows the other one only
    assert Circuit.objects.get().business == "br"


def test_a_thousand_events_use_a_connection_per_thread_at_most(
    sandbox: Sandbox, configure: Any
) -> None:
    configure(THREADS=4)
    record(200)
    assert deliver() == {State.DELIVERED: 200}
    assert sandbox.connections <= 4


def test_a_process_begins_with_one_request_and_grows(
    sandbox: Sandbox, configure: Any
) -> None:
    record(3)
    assert windows.size("default") == 1
    deliver()
    assert windows.size("default") == 4
    sandbox.behave("401")
    outbox.record(make_purchase("one-more"), attribution=Attribution.objects.first())
    deliver()
    assert windows.size("default") == 1


def test_a_group_of_results_is_confirmations_and_at_most_one_other(
    sandbox: Sandbox, configure: Any
) -> None:
    configure(THREADS=8)
    rows = record(48)
    for number in (3, 4, 5, 17, 30, 31, 47):
        sandbox.behave("500", order_id=rows[number].order_id)
    sending, groups, queued = sending_of(48), list[list[bool]](), list[int]()
    for results in sending.groups():
        groups.append([result.is_confirmed for result in results])
        time.sleep(0.1)  # a slow database; meanwhile answers are queued
        queued.append(sending._answers.qsize())
    assert sending.unsent == ()
    assert sum(len(group) for group in groups) == 48
    assert max(len(group) for group in groups) <= MAX_GROUP_SIZE
    assert sum(group.count(False) for group in groups) == 7
    assert all(all(group[:-1]) for group in groups)
    assert any(len(group) > 1 and not group[-1] for group in groups)
    assert max(queued) > 1


def test_a_result_does_not_wait_for_a_slow_one(
    sandbox: Sandbox, configure: Any
) -> None:
    _first, slow, _last = record(3)
    sandbox.behave("delay:2", order_id=slow.order_id)
    sending, groups, began = sending_of(3), list[int](), time.monotonic()
    for results in sending.groups():
        groups.append(len(results))
        if len(groups) == 2:
            assert time.monotonic() - began < 1.5
    assert groups == [1, 1, 1]


@pytest.mark.parametrize("behaviour", ["429:8", "401"])
def test_an_answer_that_concerns_all_stops_what_is_queued_before_it_is_written(
    sandbox: Sandbox, configure: Any, behaviour: str
) -> None:
    configure(THREADS=2)
    windows.grow("default", 2)
    first, *others = record(4)
    sandbox.behave(behaviour, order_id=first.order_id)
    for row in others:
        sandbox.behave("delay:0.3", order_id=row.order_id)
    sending = sending_of(4)
    for results in sending.groups():
        if results[0].stops_all:
            time.sleep(1)  # until the pause is stored
    assert others[-1].pk in [row.pk for row in sending.unsent]


def test_an_error_stops_what_is_queued(
    sandbox: Sandbox, configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(THREADS=2)
    windows.grow("default", 2)
    first, *others = record(4)
    for row in others:
        sandbox.behave("delay:0.3", order_id=row.order_id)

    def fail(*_: Any) -> bool:
        raise OperationalError("gone")

    monkeypatch.setattr(Settlement, "write", fail)
    with pytest.raises(OperationalError):
        deliver()
    time.sleep(1)
    assert first.order_id in [request.order_id for request in sandbox.requests]
    assert sandbox.received_count < 4


def sending_of(count: int) -> Sending:
    run = Run.begin()
    (account,) = run.accounts().values()
    batch = claim(run, "default", count)
    assert batch is not None
    return Sending(batch, account.client, run.settings, stop=lambda: False)


def test_what_cannot_start_in_time_is_given_back_uncounted(
    sandbox: Sandbox, configure: Any
) -> None:
    rows = record(3)
    configure(LEASE=10, DEADLINE=9.5)
    assert deliver(limit=3) == {"released": 3}
    assert not sandbox.requests
    assert {(fresh(row).state, fresh(row).attempts) for row in rows} == {
        (State.PENDING, 0)
    }
    assert not DeliveryAttempt.objects.exists()


def test_a_stop_lets_what_is_in_flight_finish_and_gives_back_the_rest(
    sandbox: Sandbox,
) -> None:
    rows = record(10)
    deliver(stop=lambda: sandbox.received_count >= 1)
    states = [fresh(row).state for row in rows]
    assert states.count(State.DELIVERED) == sandbox.received_count < 10
    assert states.count(State.PENDING) == 10 - sandbox.received_count


def test_a_limit_is_kept_to(sandbox: Sandbox, configure: Any) -> None:
    configure(BATCH=2)
    record(5)
    assert deliver(limit=3).claimed == 3
    assert sandbox.received_count == 3


def test_a_full_first_batch_calls_for_help_and_so_does_spent_time(
    sandbox: Sandbox, configure: Any
) -> None:
    calls: list[str] = []
    configure(BATCH=2)
    record(5)
    deliver(wake_another=lambda: calls.append("help"))
    assert calls == ["help"]
    outbox.record(make_purchase("late"), attribution=Attribution.objects.first())
    deliver(seconds=0, wake_another=lambda: calls.append("time"))
    assert calls == ["help", "time"]


def test_a_confirmation_wins_even_with_a_lost_lease(
    sandbox: Sandbox,
) -> None:
    (row,) = record()
    batch = claim(Run.begin(), "default", 1)
    assert batch is not None
    Conversion.objects.update(lease_token=None, state=State.PENDING)
    Conversion.objects.filter(pk=row.pk).mark_delivered()
    assert fresh(row).state == State.DELIVERED
    assert Conversion.objects.filter(pk=row.pk).mark_delivered() == 0


def test_a_failure_with_a_lost_lease_changes_nothing(sandbox: Sandbox) -> None:
    (row,) = record()

    def steal(**_: Any) -> bool:
        Conversion.objects.filter(state=State.SENDING).update(
            state=State.DELIVERED, due_at=None, lease_token=None
        )
        return False

    sandbox.behave("500")
    deliver(stop=lambda: steal())
    assert fresh(row).state == State.DELIVERED


def test_what_another_worker_has_claimed_meanwhile_is_left_to_it() -> None:
    (row,) = record()
    run = Run.begin()
    first = claim(run, "default", 1)
    Conversion.objects.update(due_at=DbNow(-1))
    second = claim(run, "default", 1)
    assert first is not None
    assert second is not None
    settlement, now = Settlement(run, first), timezone.now()
    for outcome in (Outcome.UNAVAILABLE, Outcome.REFUSED):
        result = Result(
            row=first.rows[0],
            verdict=Verdict(outcome=outcome),
            started_at=now,
            finished_at=now,
        )
        assert settlement.write([result])
    settlement.release(first.rows)
    assert settlement.tally == {"released": 1}
    assert (fresh(row).state, fresh(row).lease_token) == (State.SENDING, second.token)


def test_only_what_was_not_sent_is_given_back() -> None:
    unsent, unwritten = record(2)
    run = Run.begin()
    batch = claim(run, "default", 2)
    assert batch is not None
    Settlement(run, batch).release(batch.rows[:1])
    assert (fresh(unsent).state, fresh(unwritten).state) == ("pending", "sending")
    assert DeliveryAttempt.under_way(fresh(unsent)) is None
    assert DeliveryAttempt.under_way(fresh(unwritten)) is not None


def test_a_row_left_behind_is_claimed_again_after_its_lease(sandbox: Sandbox) -> None:
    (row,) = record()
    assert claim(Run.begin(), "default", 1) is not None
    assert not deliver()
    Conversion.objects.update(due_at=DbNow(-1))
    assert deliver() == {State.DELIVERED: 1}
    assert fresh(row).attempts == 2
    unfinished, finished = DeliveryAttempt.objects.order_by("started_at")
    assert (unfinished.outcome, unfinished.finished_at) == ("unknown", None)
    assert finished.outcome == "confirmed"


def test_a_late_confirmation_leaves_the_try_of_the_worker_that_lost_the_row() -> None:
    (row,) = record()
    run, now = Run.begin(), timezone.now()
    first = claim(run, "default", 1)
    Conversion.objects.update(due_at=DbNow(-1))
    second = claim(run, "default", 1)
    assert first is not None
    assert second is not None
    confirmed = Verdict(outcome=Outcome.CONFIRMED)
    for batch in (first, second):
        result = Result(
            row=batch.rows[0], verdict=confirmed, started_at=now, finished_at=now
        )
        assert Settlement(run, batch).write([result])
        outcomes = dict(DeliveryAttempt.objects.values_list("pk", "outcome"))
        assert outcomes.pop(result.row.attempt_id) == "confirmed"
        assert [*outcomes.values()] == ["unknown" if batch is first else "confirmed"]
    assert fresh(row).state == State.DELIVERED


def test_a_group_that_the_database_refuses_is_settled_row_by_row(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    rows = record(3)
    sandbox.behave("400:no \N{PARTY POPPER}", order_id=rows[1].order_id)

    def latin(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "\N{PARTY POPPER}" in repr(params):  # as a latin1 column answers
            raise DataError("Incorrect string value")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(latin):
        deliver()
    states = [fresh(row).state for row in rows]
    assert states == [State.DELIVERED, State.REJECTED, State.DELIVERED]
    assert "no \\u" in rows[1].delivery_attempts.get().detail.lower()
    assert "result_not_settled" not in caplog.text


@pytest.mark.parametrize(("error", "tries"), [(OperationalError, 2), (DataError, 1)])
def test_a_result_that_cannot_be_written_is_logged_and_sent_again(
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
    tries: int,
) -> None:
    (row,) = record()
    failed = list[str]()

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "delivered_at" in sql and sql.startswith(SETTLES):
            failed.append(sql)
            raise error("gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        deliver()
    assert len(failed) == tries
    words = f"result_not_settled conversion={row.pk} error={error.__name__}"
    assert words in caplog.text
    assert fresh(row).state == State.SENDING
    Conversion.objects.update(due_at=DbNow(-1))
    assert deliver() == {State.DELIVERED: 1}


@pytest.mark.parametrize(
    ("prefix", "words"), [(SETTLES, "delivered_at"), (("SELECT",), "due_at")]
)
@pytest.mark.django_db(transaction=True)
def test_a_statement_that_fails_for_the_moment_is_tried_once_more(
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    prefix: tuple[str, ...],
    words: str,
) -> None:
    (row,) = record()
    failed = list[str]()

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        is_idle_poll = "body" not in sql and prefix == ("SELECT",)
        if sql.startswith(prefix) and words in sql and not is_idle_poll and not failed:
            failed.append(sql)
            raise OperationalError("a deadlock's victim, or the connection was lost")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        assert deliver() == {State.DELIVERED: 1}
    assert failed
    assert sandbox.received_count == 1
    assert fresh(row).state == State.DELIVERED
    assert "result_not_settled" not in caplog.text


def test_in_a_transaction_of_the_caller_nothing_is_claimed_twice(
    sandbox: Sandbox,
) -> None:
    record()
    failed = list[str]()

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT") and "due_at" in sql and "body" in sql:
            failed.append(sql)
            raise OperationalError("gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail), pytest.raises(OperationalError):
        deliver()
    assert len(failed) == 1


@pytest.mark.django_db(transaction=True)
def test_a_driver_that_lost_its_connection_may_say_so_in_its_own_way(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    record(3)
    Circuit.objects.create(business="default", failures=1, changed_at=DbNow())
    failed = set[str]()

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        read = sql.rpartition("FROM")[2]
        if sql.startswith("WITH"):  # on PostgreSQL one statement reads both
            read = "connectly_tracking_conversion"
        for table in TABLES - failed:
            if sandbox.received_count and table in read:
                failed.add(table)
                raise InterfaceError("connection already closed")  # no DatabaseError
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        assert deliver() == {State.DELIVERED: 3}
    assert failed == TABLES
    assert sandbox.received_count == 3


def test_what_was_delivered_is_told_even_if_the_rest_cannot_be_given_back(
    sandbox: Sandbox, heard: list[tuple[str, Any]]
) -> None:
    record(3)

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("DELETE"):
            raise OperationalError("gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail), pytest.raises(OperationalError):
        deliver(stop=lambda: sandbox.received_count > 0)
    assert [name for name, _ in heard] == ["delivered"]


def test_a_row_that_is_delivered_already_is_told_of_once(
    sandbox: Sandbox, heard: list[tuple[str, Any]]
) -> None:
    (row,) = record()

    def overtake() -> bool:
        Conversion.objects.filter(pk=row.pk, state=State.SENDING).mark_delivered()
        return False

    deliver(stop=overtake)
    assert fresh(row).state == State.DELIVERED
    assert heard == []


def test_a_probe_without_an_answer_ends_no_pause(
    sandbox: Sandbox, heard: list[tuple[str, Any]]
) -> None:
    record(2)
    sandbox.behave(["401", "reset-after"])
    deliver()
    Circuit.objects.update(paused_until=DbNow())
    deliver()
    assert [name for name, _ in heard] == ["paused"]
    assert Circuit.objects.get().paused_until is not None


def test_spent_time_ends_the_work_between_two_businesses(
    sandbox: Sandbox, configure: Any, settings: Any
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own, "mx": own})
    for business in ("default", "br", "mx"):
        record(business=business)
    assert deliver(seconds=0).claimed == 1


def test_the_key_is_in_no_log_row_or_answer(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (row,) = record()
    sandbox.behave('400:you sent key-for-tests-only, "really"')
    deliver()
    attempt = row.delivery_attempts.get()
    assert "you sent ***" in attempt.detail
    assert "key-for-tests-only" not in attempt.detail + caplog.text + fresh(row).body


def test_the_waits_follow_the_schedule_and_the_last_repeats(configure: Any) -> None:
    configure(RETRY_SCHEDULE=[10, timedelta(minutes=1)])
    for attempts, wait in [(0, 10), (1, 10), (2, 60), (3, 60), (50, 60)]:
        waits = {retry_wait(conf.RETRY_SCHEDULE, attempts) for _ in range(200)}
        assert wait * 0.8 <= min(waits) < wait < max(waits) <= wait * 1.2


def statements_of(queries: CaptureQueriesContext) -> list[str]:
    return [it["sql"] for it in queries if "SAVEPOINT" not in it["sql"]]


def test_an_order_costs_four_statements_on_postgresql(sandbox: Sandbox) -> None:
    record()
    with CaptureQueriesContext(connection) as queries:
        # Without a limit a worker may also ask for more while the answer is under way.
        assert deliver(limit=1) == {State.DELIVERED: 1}
    # Claim, lease; result, state, attempt, which are one on PostgreSQL; and whether
    # there is more. MySQL is asked for the circuit by itself. SQLite asks before it
    # claims, and both claim and result begin with a write.
    expected = {"postgresql": 4, "mysql": 7, "sqlite": 9}
    assert len(statements_of(queries)) == expected[connection.vendor]


def test_a_quarter_of_a_statement_per_event_suffices(sandbox: Sandbox) -> None:
    record(64)
    deliver(limit=1)  # the slow start needs small groups; this measures what follows
    windows._sizes["default"] = 16
    with CaptureQueriesContext(connection) as queries:
        assert deliver(limit=63) == {State.DELIVERED: 63}
    # At best these for each group of 16; a loaded machine writes smaller ones.
    groups = sum("INSERT" in sql for sql in statements_of(queries))
    per_group = {"postgresql": 1, "mysql": 3, "sqlite": 4}
    claims = len(statements_of(queries)) - groups * per_group[connection.vendor]
    assert claims <= 12
    assert groups <= 8


def test_no_transaction_is_open_while_a_request_is_under_way(
    transactional_db: None, sandbox: Sandbox
) -> None:
    record(3)
    seen: list[bool] = []
    started = time.monotonic()

    def look() -> bool:
        seen.append(connection.in_atomic_block)
        return False

    deliver(stop=look)
    assert seen
    assert not any(seen)
    assert time.monotonic() - started < 30
