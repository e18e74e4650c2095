"""What the doctor finds in the database: whether it takes rows, and what they tell."""

from __future__ import annotations

import re
import socket
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.doctor.check import found_skew
from connectly_tracking.doctor.database import examine_database
from connectly_tracking.findings import Subject
from connectly_tracking.models import (
    Circuit,
    Conversion,
    DbNow,
    DeliveryAttempt,
    State,
)

from .conftest import make_click, make_purchase
from .doctor import assert_says, codes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connectly_tracking.sandbox import Sandbox


#: SQLite knows neither.
on_a_server = pytest.mark.server


def record(count: int = 1, **fields: Any) -> None:
    click = make_click()
    for number in range(count):
        outbox.record(make_purchase(f"ORD-{number}"), attribution=click, **fields)


def let_wait(seconds: float) -> None:
    """As if nobody had looked for so long."""
    Conversion.objects.exclude(due_at=None).update(due_at=DbNow(-seconds))


def pause(reason: str, *, until: float = 60, **fields: Any) -> None:
    Circuit.objects.create(
        business="default",
        reason=reason,
        paused_until=DbNow(until),
        changed_at=DbNow(),
        **fields,
    )


@contextmanager
def statements(old: str, new: str) -> Iterator[None]:
    """The database gets other words than were meant."""

    def change(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        return execute(sql.replace(old, new), params, many, context)

    with connection.execute_wrapper(change):
        yield


def test_a_database_that_works_is_well_and_keeps_nothing(db: None) -> None:
    (finding,) = examine_database()
    assert finding.code == "database_ok"
    assert connection.vendor in finding.text
    assert not Conversion.objects.exists()


def test_migrations_that_are_missing_are_named(transactional_db: None) -> None:
    call_command("migrate", "connectly_tracking", "zero", verbosity=0)
    try:
        found = codes()
    finally:
        call_command("migrate", "connectly_tracking", verbosity=0)
    words = ("0001_initial", "manage.py migrate connectly_tracking")
    assert_says(found["migrations_missing"], "error", *words)
    assert "database_ok" not in found
    assert "nothing_overdue" not in found


@pytest.mark.sqlite
def test_a_database_that_takes_no_rows(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
        try:
            found = codes()
        finally:
            cursor.execute("PRAGMA query_only = OFF")
    assert_says(found["database_read_only"], "error", "primary")


@on_a_server
def test_a_replica_takes_no_rows(transactional_db: None) -> None:
    off, on = {
        "postgresql": [
            f"SET default_transaction_read_only = {it}" for it in ("on", "off")
        ],
        "mysql": [
            f"SET SESSION TRANSACTION {it}" for it in ("READ ONLY", "READ WRITE")
        ],
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(off)
        try:
            found = codes()
        finally:
            cursor.execute(on)
    assert_says(found["database_read_only"], "error", "primary")


@pytest.mark.sqlite
def test_a_database_that_somebody_holds(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 50")
    holder = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        found = codes()
    finally:
        holder.close()
        connection.close()
    assert_says(found["database_locked"], "error", "open transaction")


@pytest.mark.postgres
def test_a_table_that_somebody_holds_is_not_waited_for(
    transactional_db: None,
) -> None:
    holder = connection.copy()
    try:
        with holder.cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE connectly_tracking_conversion")
        with statements("'3s'", "'50ms'"):
            found = codes()
    finally:
        holder.close()
    assert_says(found["database_locked"], "error", "open transaction")


def test_a_table_that_refuses_is_said_in_the_databases_words(db: None) -> None:
    with statements("connectly_tracking_conversion", "no_such_table"):
        found = codes()
    assert_says(found["database_refuses"], "error", "no_such_table", "Grant")


def test_a_database_that_is_away(
    db: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    where = connections.settings["default"]
    name = tmp_path / "away" / "db" if connection.vendor == "sqlite" else "away"
    monkeypatch.setitem(where, "NAME", str(name))
    assert_says(codes()["database_unreachable"], "error", "is the server running")


@on_a_server
def test_a_database_that_says_nothing_is_not_waited_for(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectly_tracking.doctor.database.CONNECT_LIMIT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        host, port = mute.getsockname()
        where = connections.settings["default"]
        monkeypatch.setitem(where, "HOST", host)
        monkeypatch.setitem(where, "PORT", str(port))
        assert_says(codes()["database_mute"], "error", "firewall")


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (0, None),
        (-4, None),
        (6, "database_clock_apart"),
        (-59, "database_clock_apart"),
        (61, "database_clock_far_apart"),
        (-86400, "database_clock_far_apart"),
    ],
)
def test_clocks_may_be_five_seconds_apart(seconds: float, code: str | None) -> None:
    findings = found_skew(Subject.DATABASE, seconds)
    assert [finding.code for finding in findings] == ([code] if code else [])


def test_the_words_say_which_clock_is_ahead() -> None:
    (ahead,) = found_skew(Subject.API, 7)
    assert ahead.text == "The API's clock is 7 s ahead of this machine's."
    (behind,) = found_skew(Subject.DATABASE, -7)
    assert behind.text == "The database's clock is 7 s behind this machine's."


@pytest.mark.parametrize(
    ("seconds", "code", "level"),
    [
        (20, "database_clock_apart", "warning"),
        (90, "database_clock_far_apart", "error"),
    ],
)
def test_a_databases_clock_that_is_ahead(
    db: None, seconds: int, code: str, level: str
) -> None:
    now, later = {
        "sqlite": ("'NOW'", f", '+{seconds} seconds'"),
        "postgresql": ("STATEMENT_TIMESTAMP()", f" + interval '{seconds} seconds'"),
        "mysql": ("UTC_TIMESTAMP(6)", f" + INTERVAL {seconds} SECOND"),
    }[connection.vendor]
    with statements(now, now + later):
        found = codes()
    assert_says(found[code], level, f"{seconds} s ahead", "NTP")


@on_a_server
def test_a_database_that_lacks_most_letters(db: None) -> None:
    query = {
        "postgresql": "SHOW server_encoding",
        "mysql": "SELECT character_set_name",
    }[connection.vendor]
    with statements(query, f"SELECT 'latin1' -- {query}"):
        assert_says(codes()["database_charset"], "warning", "latin1", "utf8mb4")


def test_what_waits_while_nobody_looks(db: None) -> None:
    record(3)
    let_wait(300)
    finding = codes()["nobody_looks"]
    assert_says(finding, "error", "default: 3 reports overdue", "beat is running")


def test_what_a_wrong_setting_stops_misses_no_worker(db: None, configure: Any) -> None:
    record()
    let_wait(300)
    configure(BASE_URL="http://api.connectly.ai")
    found = codes()
    assert_says(found["connectly_tracking.E005"], "error", "BASE_URL", "https")
    assert not {"nobody_looks", "nothing_overdue"} & {*found}
    configure(BASE_URL="https://api.connectly.ai", RETENTION=-1)
    assert "nobody_looks" in codes()


def test_a_backlog_that_somebody_works_off_is_no_alarm(db: None) -> None:
    record(3)
    let_wait(300)
    row = Conversion.objects.earliest("pk")
    Conversion.objects.filter(pk=row.pk).update(attempts=1)
    DeliveryAttempt.objects.create(conversion=row, started_at=DbNow(-10))
    found = codes()
    assert_says(found["behind"], "warning", "default: 3 reports overdue", "THREADS")
    assert "nobody_looks" not in found
    DeliveryAttempt.objects.update(started_at=DbNow(-200))
    assert "nobody_looks" in codes()


def test_what_is_due_for_a_moment_is_nobodys_fault(db: None) -> None:
    record(3)
    let_wait(60)
    found = codes()
    assert_says(found["nothing_overdue"], "ok", "Due later: 3")
    Conversion.objects.exclude(order_id="ORD-1").delete()
    assert_says(codes()["nothing_overdue"], "ok", "Due later: 1")
    assert_says(found["nothing_sent_yet"], "note", "--probe")


def test_what_a_dead_worker_held_is_overdue_too(db: None) -> None:
    record()
    Conversion.objects.update(state=State.SENDING, due_at=DbNow(-300))
    assert "nobody_looks" in codes()


@pytest.mark.parametrize(
    ("reason", "detail", "level", "words"),
    [
        ("configuration", "401: bad key", "error", "Correct API_KEY"),
        ("meta_link", "400: (#190)", "error", "Connect Meta again"),
        ("refusals", "400: (#100)", "error", "connectly_replay"),
        ("unavailable", "503: away", "warning", "until the API answers"),
        (
            "throttled",
            "429: slow down",
            "warning",
            "wait that the API asked for is over",
        ),
    ],
)
def test_a_pause_is_said_with_its_words_and_excuses_what_waits(
    db: None, reason: str, detail: str, level: str, words: str
) -> None:
    record()
    let_wait(300)
    pause(reason, detail=detail)
    found = codes()
    assert_says(found[f"paused_{reason}"], level, detail, words, "1 report overdue")
    assert not {"nobody_looks", "nothing_overdue"} & {*found}


def test_a_pause_that_nobody_ends_excuses_nothing(db: None) -> None:
    record()
    let_wait(900)
    pause("unavailable", until=-600)
    assert "nobody_looks" in codes()


def test_rows_of_a_business_that_the_settings_lack(db: None) -> None:
    record()
    Conversion.objects.update(business="old", due_at=DbNow(-300))
    found = codes()
    assert_says(
        found["business_forgotten"], "warning", "old: 1 report overdue", "BUSINESSES"
    )
    assert "business_forgotten" not in codes("default")


def test_the_doctors_own_row_is_no_order(db: None) -> None:
    for day in range(1, 9):
        row = outbox.record(make_purchase(f"ORD-{day}"))
        hours = day * 24 + 1
        Conversion.objects.filter(pk=row.pk).update(recorded_at=DbNow(-hours * 3600))
    assert_says(codes()["orders_stopped"], "warning", "No order for 24 hours")


def test_sending_that_is_off_leaves_nobody_to_blame(db: None, configure: Any) -> None:
    record()
    let_wait(300)
    configure(SEND=False)
    found = codes()
    assert not {"nobody_looks", "nothing_overdue"} & {*found}
    assert found["sending_off"].level == "note"


def test_the_last_answer_is_shown(db: None, sandbox: Sandbox) -> None:
    record(2)
    deliver()
    assert "confirmed 200" in codes()["last_answer_ok"].text
    sandbox.behave("400:Invalid ctwa_clid")
    outbox.record(make_purchase("ORD-9"), attribution=make_click())
    deliver()
    finding = codes()["last_answer_bad"]
    assert_says(finding, "warning", "refused 400", "last delivery")
    assert "ctwa_clid" not in finding.text  # the answer may name the customer


def test_every_time_has_its_zone(db: None, sandbox: Sandbox) -> None:
    record(2, business="default")
    deliver()
    outbox.record(make_purchase("ORD-9"), attribution=make_click())
    let_wait(7200)
    Conversion.objects.exclude(due_at=None).update(
        attempts=2, recorded_at=DbNow(-2 * 86400)
    )
    with timezone.override("America/Sao_Paulo"):
        found = codes()
        pause("unavailable")
        found |= codes()
    texts = [it.text for it in found.values() if re.search(r"\d\d:\d\d", it.text)]
    assert len(texts) == 4
    assert not any(re.search(r"\d\d:\d\d(?! UTC-03)", text) for text in texts)


def test_an_attempt_under_way_is_no_answer_yet(db: None) -> None:
    record()
    Conversion.objects.update(attempts=1)
    row = Conversion.objects.get()
    DeliveryAttempt.objects.create(conversion=row, started_at=DbNow())
    assert "nothing_sent_yet" in codes()
