"""When a business is paused, which worker may probe it, and how the pause ends."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DataError, OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.api.client import Client
from connectly_tracking.api.verdicts import Outcome, Verdict
from connectly_tracking.conf import conf
from connectly_tracking.delivery import deliver, worker
from connectly_tracking.delivery.breaker import Breaker
from connectly_tracking.delivery.run import Run, fruitless_expiries, windows
from connectly_tracking.delivery.settle import Settlement
from connectly_tracking.models import (
    Attribution,
    Circuit,
    Conversion,
    DbNow,
    Reason,
    State,
)
from connectly_tracking.signals import delivery_paused, delivery_resumed

from .conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
MISSING: Any = object()


def record(count: int, name: str = "ORD") -> list[Conversion]:
    click = Attribution.objects.first() or make_click()
    return [
        outbox.record(make_purchase(f"{name}-{number}"), attribution=click)
        for number in range(count)
    ]


def states() -> dict[str, int]:
    found = list(Conversion.objects.values_list("state", flat=True))
    return {state: found.count(state) for state in set(found)}


def breaker(fingerprint: str = "f", **given: Any) -> Breaker:
    return Breaker(
        run=Run.begin(), business="default", fingerprint=fingerprint, **given
    )


def note(*outcomes: Outcome, **given: Any) -> bool:
    """Each answer that is not a confirmation ends a group, as when a batch is sent."""
    noting, flows, group = breaker(**given), True, list[Verdict]()
    for number, outcome in enumerate(outcomes, 1):
        group.append(Verdict(outcome=outcome, detail="words"))
        if outcome != Outcome.CONFIRMED or number == len(outcomes):
            flows = noting.note(group)
            group = []
    noting.send_signals()
    return flows


def circuit() -> Circuit:
    return Circuit.objects.get()


def paused_for() -> float:
    until = circuit().paused_until
    assert until is not None
    return (until - timezone.now()).total_seconds()


@pytest.fixture
def heard() -> Iterator[list[str]]:
    said: list[str] = []

    def paused(sender: Any, *, reason: str, **_: Any) -> None:
        said.append(reason)

    def resumed(sender: Any, **_: Any) -> None:
        said.append("resumed")

    delivery_paused.connect(paused)
    delivery_resumed.connect(resumed)
    yield said
    delivery_paused.disconnect(paused)
    delivery_resumed.disconnect(resumed)


FAILURES = [
    Outcome.UNAVAILABLE,
    Outcome.NOT_SENT,
    Outcome.UNKNOWN,
    Outcome.UNCONFIRMED,
    Outcome.INTERNAL,
]


def test_five_failures_in_a_row_pause_the_business(heard: list[str]) -> None:
    for outcome in FAILURES[:4]:
        assert note(outcome)
    before = circuit().changed_at
    assert not note(FAILURES[4])
    assert circuit().changed_at > before
    assert (circuit().reason, circuit().failures) == ("unavailable", 5)
    assert circuit().detail == "internal: words"
    assert 25 < paused_for() <= 30
    assert heard == ["unavailable"]


@pytest.mark.parametrize("answer", [Outcome.CONFIRMED, Outcome.REFUSED])
def test_an_answer_in_between_begins_the_count_anew(answer: Outcome) -> None:
    for _ in range(3):
        note(Outcome.UNKNOWN)
    note(Outcome.UNKNOWN, answer, Outcome.UNKNOWN, Outcome.UNKNOWN)
    assert circuit().failures == 2
    assert note(Outcome.UNKNOWN, Outcome.UNKNOWN)
    assert not note(Outcome.UNKNOWN)


def test_while_all_is_well_nothing_is_written_and_no_row_is_made() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert note(*[Outcome.CONFIRMED] * 16)
    assert len(queries) == 1
    assert not Circuit.objects.exists()


def test_one_workers_pause_stops_the_others_at_their_next_answers() -> None:
    assert note(Outcome.CONFIRMED)
    note(Outcome.CONFIGURATION)
    assert not note(Outcome.CONFIRMED)
    assert circuit().reason == "configuration"  # and only a probe ends it


def test_five_refusals_in_a_row_pause_the_business(heard: list[str]) -> None:
    assert note(*[Outcome.REFUSED] * 4)
    assert note(Outcome.CONFIRMED)
    assert note(*[Outcome.REFUSED] * 4)
    assert note(Outcome.UNAVAILABLE)  # says nothing about the events
    assert not note(Outcome.REFUSED)
    assert heard == ["refusals"]
    assert 290 < paused_for() <= 300


def test_a_refusal_after_a_confirmation_is_the_first_one() -> None:
    note(*[Outcome.REFUSED] * 4)
    assert note(Outcome.CONFIRMED, Outcome.REFUSED)
    assert circuit().refusals == 1


def test_the_failures_of_all_workers_count(heard: list[str]) -> None:
    note(Outcome.UNKNOWN)

    def meanwhile(execute: Any, sql: str, *more: Any) -> Any:
        if sql.startswith("UPDATE") and circuit().failures == 1:
            with connection.cursor() as cursor:
                table = Circuit._meta.db_table
                cursor.execute(f"/* others */ UPDATE {table} SET failures = 4")
        return execute(sql, *more)

    with connection.execute_wrapper(meanwhile):
        assert not note(Outcome.UNKNOWN)
    assert heard == ["unavailable"]


def test_an_answer_that_ends_a_row_of_failures_costs_three_statements() -> None:
    note(Outcome.UNKNOWN)
    with CaptureQueriesContext(connection) as queries:
        assert note(Outcome.CONFIRMED)
    assert len(queries) == 3
    assert circuit().failures == 0


@pytest.mark.django_db(transaction=True)
def test_an_answer_that_a_column_cannot_hold_is_kept_in_ascii() -> None:
    def latin(execute: Any, sql: str, params: Any, *more: Any) -> Any:
        if "\N{PARTY POPPER}" in repr(params):
            raise DataError("Incorrect string value")
        return execute(sql, params, *more)

    verdict = Verdict(outcome=Outcome.CONFIGURATION, detail="no \N{PARTY POPPER}")
    with connection.execute_wrapper(latin):
        assert not breaker().note([verdict])
    assert circuit().detail == "configuration: no \\U0001f389"


def test_a_throttled_business_waits_as_long_as_it_was_asked_to(
    heard: list[str],
) -> None:
    noting = breaker()
    for wait, longest in [(4.0, 4), (90.0, 90), (30.0, 90)]:  # the longest one holds
        asked = Verdict(outcome=Outcome.THROTTLED, status_code=429, wait=wait)
        assert not noting.note([asked])
        assert longest - 5 < paused_for() <= longest
    noting.send_signals()
    assert heard == ["throttled"]


def test_the_pause_stands_before_the_answer_that_asked_for_it_is_written_down(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(1)
    sandbox.behave("429:8")
    paused: list[bool] = []

    def look(settlement: Settlement, results: Any) -> bool:
        paused.append(Circuit.objects.exclude(paused_until=None).exists())
        return write(settlement, results)

    write = Settlement.write
    monkeypatch.setattr(Settlement, "write", look)
    deliver()
    assert paused == [True]


@pytest.mark.parametrize("behaviour", ["429:8", "500"])
def test_a_listener_hears_of_a_pause_when_nothing_is_held_any_more(
    sandbox: Sandbox, behaviour: str
) -> None:
    record(6)
    sandbox.behave(behaviour)
    held: list[bool] = []

    def listen(sender: Any, **_: Any) -> None:
        held.append(Conversion.objects.filter(state=State.SENDING).exists())

    delivery_paused.connect(listen)
    try:
        deliver()
    finally:
        delivery_paused.disconnect(listen)
    assert held == [False]


def test_a_probe_that_fails_waits_longer_each_time(configure: Any) -> None:
    note(*[Outcome.UNAVAILABLE] * 5)
    for probes, wait in [(1, 60), (2, 120), (3, 300), (9, 300)]:
        assert not note(Outcome.UNKNOWN, is_probe=True, probes=probes)
        assert wait - 5 < paused_for() <= wait


def test_a_probe_without_an_answer_leaves_the_reason_and_waits_longer() -> None:
    note(Outcome.CONFIGURATION)
    assert not note(Outcome.UNKNOWN, is_probe=True, probes=2)
    assert 115 < paused_for() <= 120
    assert (circuit().reason, circuit().failures) == ("configuration", 1)


def test_only_a_probe_makes_a_pause_shorter() -> None:
    asked = Verdict(outcome=Outcome.THROTTLED, wait=3600)
    breaker().note([asked])
    note(Outcome.CONFIGURATION)
    assert 3595 < paused_for() <= 3600
    note(Outcome.CONFIGURATION, is_probe=True, probes=1)
    assert 295 < paused_for() <= 300


def test_a_probe_that_is_answered_ends_the_pause(heard: list[str]) -> None:
    (waiting,) = record(1)
    note(*[Outcome.UNAVAILABLE] * 5)
    Conversion.objects.update(attempts=7, due_at=DbNow(21_600))
    began = circuit().changed_at
    assert note(Outcome.CONFIRMED, is_probe=True, probes=1)
    row = circuit()
    assert row.changed_at > began
    assert Conversion.objects.filter(pk=waiting.pk, due_at__lte=DbNow()).exists()
    assert (row.paused_until, row.reason, row.failures, row.probes) == (None, "", 0, 0)
    assert heard == ["unavailable", "resumed"]


def test_a_probe_that_fails_late_does_not_pause_what_another_one_has_resumed() -> None:
    note(*[Outcome.UNAVAILABLE] * 5)
    assert note(Outcome.CONFIRMED, is_probe=True, probes=2)
    assert note(Outcome.UNKNOWN, is_probe=True, probes=1)
    assert (circuit().paused_until, circuit().failures) == (None, 1)


def test_a_refused_probe_ends_an_outage_but_not_a_pause_for_refusals() -> None:
    note(*[Outcome.UNAVAILABLE] * 5)
    assert note(Outcome.REFUSED, is_probe=True, probes=1)
    note(*[Outcome.REFUSED] * 4)
    assert not note(Outcome.REFUSED, is_probe=True, probes=1)
    assert circuit().reason == "refusals"


def test_a_late_answer_of_somebody_else_ends_no_pause() -> None:
    note(Outcome.THROTTLED)
    assert not note(Outcome.CONFIRMED)
    assert circuit().paused_until is not None


def test_a_worse_reason_is_told_but_the_same_one_only_once(heard: list[str]) -> None:
    note(*[Outcome.UNAVAILABLE] * 5)
    note(*[Outcome.UNAVAILABLE] * 3)
    note(Outcome.CONFIGURATION, is_probe=True, probes=1)
    note(Outcome.CONFIGURATION, is_probe=True, probes=2)
    assert heard == ["unavailable", "configuration"]


def test_one_worker_takes_the_probe_and_when_it_dies_another_may(
    configure: Any,
) -> None:
    configure(DEADLINE=10)
    note(*[Outcome.UNAVAILABLE] * 5)
    assert not breaker().begin_probe(circuit())  # too early
    Circuit.objects.update(paused_until=DbNow())
    seen = circuit()
    probe = breaker().begin_probe(seen)
    assert probe is not None
    assert (probe.is_probe, probe.probes) == (True, 1)
    assert not breaker().begin_probe(seen)  # read before the other took it
    assert not breaker("other").begin_probe(seen)
    assert not breaker().begin_probe(circuit())
    assert 10 < paused_for() <= 15
    Circuit.objects.update(paused_until=DbNow(-1))
    assert breaker().begin_probe(circuit())


def test_changed_settings_are_tried_at_once_unless_asked_to_wait() -> None:
    note(Outcome.CONFIGURATION)
    assert not breaker().begin_probe(circuit())
    assert breaker("other").begin_probe(circuit())
    Circuit.objects.all().delete()
    note(Outcome.THROTTLED)
    assert not breaker("other").begin_probe(circuit())


def test_changed_settings_wait_if_the_api_asked_to_meanwhile() -> None:
    note(Outcome.CONFIGURATION)
    seen = circuit()
    asked = Verdict(outcome=Outcome.THROTTLED, wait=3600)
    breaker("others").note([asked])
    assert not breaker("new").begin_probe(seen)


def test_no_probe_is_claimed_without_a_row_for_it(sandbox: Sandbox) -> None:
    record(1)
    note(Outcome.UNAVAILABLE, Outcome.CONFIGURATION)
    Circuit.objects.update(paused_until=DbNow())
    fruitless_expiries.note("default")
    (account,) = Run.begin().accounts().values()
    assert not list(worker.batches(Run.begin(), account, 0))
    Conversion.objects.update(due_at=DbNow(60))
    assert not list(worker.batches(Run.begin(), account, 1))
    assert circuit().probes == 0
    Conversion.objects.update(due_at=DbNow())
    ((batch, probe),) = worker.batches(Run.begin(), account, 1)
    assert (len(batch.rows), probe.is_probe, circuit().probes) == (1, True, 1)


def test_settings_that_were_refused_do_not_pause_others_again(
    sandbox: Sandbox, configure: Any
) -> None:
    record(2)
    configure(API_KEY="wrong")
    deliver()
    # Another process has the right key, and resumed.
    right = breaker("right", is_probe=True, probes=1)
    Circuit.objects.update(fingerprint="right")
    assert right.note([Verdict(outcome=Outcome.CONFIRMED)])
    assert not deliver()
    assert sandbox.received_count == 1
    assert circuit().paused_until is None


def test_an_outage_costs_a_handful_of_requests_and_all_is_sent_after_it(
    sandbox: Sandbox, configure: Any
) -> None:
    record(50)
    sandbox.behave("500")
    deliver()
    assert sandbox.received_count == 5
    for _ in range(4):
        deliver()
    assert sandbox.received_count == 5
    Circuit.objects.update(paused_until=DbNow())
    deliver()
    deliver()
    assert sandbox.received_count == 6  # the probe
    sandbox.clear()
    Circuit.objects.update(paused_until=DbNow())
    deliver()
    assert states() == {State.DELIVERED: 50}


def test_what_failed_before_the_pause_is_due_with_the_first_probe() -> None:
    (row,) = record(1)
    Conversion.objects.update(attempts=7, due_at=DbNow(21_600))
    (held,) = record(1, "HELD")
    Conversion.objects.filter(pk=held.pk).update(due_at=DbNow(3600))
    note(*[Outcome.UNAVAILABLE] * 5)
    row.refresh_from_db()
    held.refresh_from_db()
    circuit_until = circuit().paused_until
    assert row.due_at is not None
    assert held.due_at is not None
    assert circuit_until is not None
    assert abs((row.due_at - circuit_until).total_seconds()) < 5
    assert (held.due_at - timezone.now()).total_seconds() > 3000  # never tried


def test_a_pause_for_another_reason_brings_no_row_forward() -> None:
    (row,) = record(1)
    Conversion.objects.update(attempts=7, due_at=DbNow(21_600))
    note(Outcome.CONFIGURATION)
    row.refresh_from_db()
    assert row.due_at is not None
    assert (row.due_at - timezone.now()).total_seconds() > 21_000


def test_a_pause_brings_no_row_of_another_business_forward() -> None:
    (row,) = record(1)
    Conversion.objects.update(attempts=7, business="br", due_at=DbNow(21_600))
    note(*[Outcome.UNAVAILABLE] * 5)
    note(Outcome.CONFIRMED, is_probe=True, probes=1)
    row.refresh_from_db()
    assert row.due_at is not None
    assert (row.due_at - timezone.now()).total_seconds() > 21_000


def test_the_row_that_was_the_probe_is_there_for_the_next_one(
    sandbox: Sandbox,
) -> None:
    (row,) = record(1)
    Conversion.objects.update(attempts=6)
    note(*[Outcome.UNAVAILABLE] * 5)
    Circuit.objects.update(paused_until=DbNow())
    sandbox.behave("503")
    deliver()
    row.refresh_from_db()
    assert row.due_at is not None
    assert (row.due_at - timezone.now()).total_seconds() <= 60
    assert row.state == State.PENDING


def test_a_pause_seen_by_others_makes_this_process_begin_slowly_again(
    sandbox: Sandbox,
) -> None:
    record(3)
    deliver()
    assert windows.size("default") == 4
    note(Outcome.CONFIGURATION)
    note(Outcome.CONFIRMED, is_probe=True, probes=1)
    record(1, "LATER")
    deliver()
    assert windows.size("default") == 2


def test_a_row_that_is_too_old_expires_while_its_business_is_paused(
    sandbox: Sandbox,
) -> None:
    old, young = record(2)
    sandbox.behave("401")
    deliver()
    Conversion.objects.filter(pk=old.pk).update(
        event_time=timezone.now() - timedelta(days=8)
    )
    assert deliver() == {State.EXPIRED: 1}
    old.refresh_from_db()
    young.refresh_from_db()
    assert (old.state, old.reason) == (State.EXPIRED, Reason.EXPIRED)
    assert young.state == State.PENDING
    assert sandbox.received_count == 1  # the one that found out


def test_what_is_too_old_is_looked_for_once_a_minute_while_paused(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = record(2)
    note(Outcome.THROTTLED)
    assert not deliver()
    old = timezone.now() - timedelta(days=8)
    Conversion.objects.filter(pk=rows[0].pk).update(event_time=old)
    assert not deliver()
    monkeypatch.setattr(worker, "EXPIRY_INTERVAL", 0)
    assert deliver() == {State.EXPIRED: 1}


def test_what_a_person_had_sent_again_does_not_expire_while_paused(
    sandbox: Sandbox,
) -> None:
    record(2)
    note(Outcome.THROTTLED)
    old = timezone.now() - timedelta(days=8)
    Conversion.objects.update(event_time=old, replayed_at=timezone.now())
    assert not deliver()
    Conversion.objects.update(replayed_at=old)
    fruitless_expiries.reset()
    assert deliver(limit=1) == {State.EXPIRED: 1}
    assert states() == {State.EXPIRED: 1, State.PENDING: 1}


def test_a_row_that_alone_is_forbidden_is_given_up_at_its_eighth_pause(
    sandbox: Sandbox, heard: list[str]
) -> None:
    # Such as a firewall that dislikes a product's name.
    (bad,) = record(1, "BAD")
    sandbox.behave("403:blocked", order_id=bad.order_id)
    waits = []
    for number in range(8):
        Conversion.objects.filter(pk=bad.pk, due_at__gt=DbNow()).update(due_at=DbNow())
        deliver()
        bad.refresh_from_db()
        if bad.due_at:
            waits.append(round((bad.due_at - timezone.now()).total_seconds(), -1))
        Conversion.objects.filter(pk=bad.pk, state=State.PENDING).update(
            due_at=DbNow(60)
        )
        record(1, f"GOOD-{number}")
        Circuit.objects.update(paused_until=DbNow())
        deliver()
    bad.refresh_from_db()
    assert (bad.state, bad.reason) == (State.REJECTED, Reason.UNCONFIRMED)
    assert bad.attempts == 1  # the last one; the others were the pause's
    # At first at once: any row may be the one that finds out about a wrong key.
    for wait, scheduled in zip(waits, (0, 30, 60, 300, 900, 3600, 10800), strict=True):
        assert 0.7 * scheduled - 5 <= wait <= 1.3 * scheduled + 5
    assert states() == {State.REJECTED: 1, State.DELIVERED: 8}
    assert heard == ["configuration", "resumed"] * 8


def test_a_wrong_key_gives_up_no_row_however_long_it_lasts(sandbox: Sandbox) -> None:
    record(1)
    sandbox.behave("401")
    for _ in range(12):
        deliver()
        Circuit.objects.update(paused_until=DbNow())
    assert sandbox.received_count == 12
    assert states() == {State.PENDING: 1}
    sandbox.clear()
    assert deliver() == {State.DELIVERED: 1}


def test_a_row_that_breaks_our_code_again_and_again_pauses_nobody(
    sandbox: Sandbox, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (bad,) = record(1, "BAD")
    post = Client.post

    def fail(self: Client, body: str) -> Verdict:
        if "BAD" in body:
            raise KeyError
        return post(self, body)

    monkeypatch.setattr(Client, "post", fail)
    for _ in range(5):
        Conversion.objects.update(due_at=DbNow())
        deliver()
    bad.refresh_from_db()
    assert (bad.state, bad.reason) == (State.REJECTED, Reason.INTERNAL)
    assert heard == []
    assert circuit().failures == 1


def test_our_code_that_breaks_with_every_row_gives_none_up(
    sandbox: Sandbox, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Client, body: str) -> Verdict:
        raise KeyError

    record(8)
    monkeypatch.setattr(Client, "post", fail)
    for _ in range(12):
        deliver()
        Conversion.objects.update(due_at=DbNow())
        Circuit.objects.update(paused_until=DbNow())
    assert heard == ["unavailable"]
    assert states() == {State.PENDING: 8}


def test_a_database_that_fails_loses_no_answer(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    record(2)

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "circuit" in sql.rpartition("FROM")[2] and sandbox.received_count:
            raise OperationalError("gone")
        return execute(sql, params, many, context)

    Circuit.objects.create(business="default", failures=1, changed_at=DbNow())
    with connection.execute_wrapper(fail):
        deliver()
    assert states() == {State.DELIVERED: 2}
    assert "circuit_not_kept business=default error=OperationalError" in caplog.text


def test_settings_that_are_wrong_take_no_row(
    sandbox: Sandbox, configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    record(2)
    faults: list[dict[str, Any]] = [
        {"CA_BUNDLE": "/nowhere"},
        {"PROXIES": "http://proxy"},
        {"RETRY_SCHEDULE": [60, 30]},
        {"PROBE_SCHEDULE": []},
        {"LEASE": 0},
    ]
    for wrong in faults:
        with monkeypatched(configure, wrong):
            assert not deliver()
        assert str(next(iter(wrong))) in caplog.text
    assert set(Conversion.objects.values_list("state", "attempts")) == {("pending", 0)}
    assert deliver() == {State.DELIVERED: 2}


@contextmanager
def monkeypatched(configure: Any, wrong: dict[str, Any]) -> Iterator[None]:
    before = {name: conf.raw.get(name, MISSING) for name in wrong}
    configure(**wrong)
    yield
    configure(**{n: v for n, v in before.items() if v is not MISSING})
    for name, value in before.items():
        if value is MISSING:
            del conf.raw[name]  # type: ignore[attr-defined]


def test_a_pause_that_cannot_be_kept_does_not_hammer_the_api(
    transactional_db: None, sandbox: Sandbox
) -> None:
    record(5)
    sandbox.behave("401")

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "circuit" in sql and not sql.startswith("SELECT"):
            raise OperationalError("read-only")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        deliver()
    assert sandbox.received_count == 1


def test_two_processes_with_different_keys_do_not_rouse_each_other(
    sandbox: Sandbox, configure: Any
) -> None:
    record(5)
    for _ in range(3):
        for key in ("wrong", "wrong too"):
            configure(API_KEY=key)
            deliver()
    assert sandbox.received_count == 2


def test_a_database_that_is_gone_stops_the_sending(
    sandbox: Sandbox, configure: Any
) -> None:
    configure(THREADS=2)
    record(40)

    def gone(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sandbox.received_count >= 5:
            raise OperationalError("server closed the connection")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(gone), pytest.raises(OperationalError):
        deliver()
    assert sandbox.received_count <= 5 + 2 * 2


def test_no_business_starves_behind_another(
    sandbox: Sandbox, configure: Any, settings: Any
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own})
    record(40)
    theirs = outbox.record(
        make_purchase("theirs"), attribution=make_click(business="br")
    )
    for _ in range(40):
        deliver(limit=1)
    theirs.refresh_from_db()
    assert theirs.state == State.DELIVERED
