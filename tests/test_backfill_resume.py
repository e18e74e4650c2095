"""A backfill may be ended at any time; run again it goes on, and nothing is twice."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from connectly_tracking import outbox
from connectly_tracking.backfill import Counts, CsvFile, Interrupted, backfill
from connectly_tracking.management.console import GracefulStop
from connectly_tracking.models import Attribution, Conversion, State

from .conftest import make_click, make_purchase
from .test_backfill_table import clicked, order, text_of
from .test_docs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

    from connectly_tracking.backfill.order import BackfillOrder

PATIENCE = 150.0  # seconds; less than the test itself may take


def file_of(count: int) -> bytes:
    """Orders, each with a click of its own."""
    at = int(time.time()) - 7200
    lines = (
        clicked(f"A-{number}", cnct_tracking_id=f"track-{number}", landed_at=at)
        for number in range(count)
    )
    return text_of(*lines).encode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_process_is_ended_and_another_one_goes_on(
    transactional_db: None, process_env: dict[str, str], number: signal.Signals
) -> None:
    text = file_of(800)
    command = [sys.executable, "manage.py", "connectly_backfill", "--csv", "-"]
    pipes: dict[str, Any] = dict.fromkeys(
        ("stdin", "stdout", "stderr"), subprocess.PIPE
    )
    first = subprocess.Popen(command, cwd=ROOT, env=process_env, **pipes)
    try:
        assert first.stdin
        lines = text.splitlines(keepends=True)
        first.stdin.write(b"".join(lines[:601]))
        first.stdin.flush()
        await_rows(500)  # it reads on, and there is nothing more for it
        first.send_signal(number)
        # A read from a pipe goes on after a signal, until there is a line.
        with suppress(BrokenPipeError):
            first.stdin.write(lines[601])
            first.stdin.flush()
        out, err = first.communicate(timeout=PATIENCE)
    finally:
        first.kill()
    if number == signal.SIGKILL:
        assert first.returncode == -number
    else:
        assert first.returncode == 128 + number, err
        assert b"500 new, pending" in out
        words = f"Stopped by {number.name} after order A-499 (line 501). To continue,"
        assert words.encode() in err
        assert b"--skip 500." in err

    second = subprocess.run(
        command, cwd=ROOT, env=process_env, input=text, capture_output=True, check=True
    )
    assert b"300 new, pending" in second.stdout
    assert b"500 already recorded" in second.stdout
    ids = Conversion.objects.filter(state=State.PENDING).values_list("order_id")
    assert set(ids) == {(f"A-{number}",) for number in range(800)}
    assert len(ids) == Attribution.objects.count() == 800


def await_rows(count: int) -> None:
    until = time.monotonic() + PATIENCE
    while Conversion.objects.count() < count:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_two_at_once_record_each_order_once(transactional_db: None) -> None:
    text, barrier = file_of(40), threading.Barrier(2)
    results = list[Counts]()

    def run() -> None:
        barrier.wait(PATIENCE)
        results.append(backfill(CsvFile(io.BytesIO(text))))
        connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert [counts.total for counts in results] == [40, 40]
    # An order that both met at the same moment is new to both.
    assert sum(counts.pending for counts in results) >= 40
    assert Conversion.objects.count() == Attribution.objects.count() == 40


def test_orders_that_have_their_row_cost_one_query_for_all(db: None) -> None:
    text = file_of(300)
    backfill(CsvFile(io.BytesIO(text)))
    with CaptureQueriesContext(connection) as queries:
        assert backfill(CsvFile(io.BytesIO(text))).known == 300
    assert len(queries) == 1


def test_an_order_is_known_by_its_exact_id(db: None) -> None:
    backfill([make_purchase("ord-1")])
    Conversion.objects.update(state=State.DELIVERED, reason="")
    counts = backfill([make_purchase("ORD-1"), make_purchase("ord-1")])
    assert (counts.known, counts.skipped) == (1, {"not_attributed": 1})


def test_of_several_businesses_each_order_is_looked_at(
    db: None, configure: Any
) -> None:
    configure(BUSINESSES={"br": {}})
    outbox.record(make_purchase(), attribution=make_click(business="br"))
    assert backfill([make_purchase()]).known == 1
    assert backfill([make_purchase()], business="br").known == 1
    assert backfill([make_purchase()], business="default").known == 0


def test_a_stop_ends_after_the_order_in_hand(db: None) -> None:
    asked = threading.Event()

    def report(counts: Counts) -> None:
        if counts.total == 3:
            asked.set()

    orders = [make_purchase(f"A-{number}") for number in range(9)]
    counts = backfill(orders, stop=asked.is_set, report=report)
    assert (counts.total, counts.last) == (3, "A-2")
    assert Conversion.objects.count() == 3


def test_a_stop_before_the_first_order_records_nothing(db: None) -> None:
    assert backfill([make_purchase()], stop=lambda: True).total == 0


@pytest.fixture
def _heeding_ctrl_c() -> Iterator[None]:
    """A shell's background jobs, and what they start, ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_heeding_ctrl_c")
def test_a_second_signal_ends_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), GracefulStop() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.signal == signal.SIGINT
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_ends_the_command_with_its_status(db: None, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(text_of(order("A-1", value="x"), order("A-2")))
    err = Interrupting()
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"by SIGINT after order A-1") as error:
        call_command("connectly_backfill", "--csv", str(file), stdout=out, stderr=err)
    assert error.value.returncode == 128 + signal.SIGINT
    assert Conversion.objects.get().order_id == "A-1"
    assert "1 skipped, invalid" in out.getvalue()


class Interrupting(io.StringIO):
    """Somebody presses Ctrl-C when he reads of the first bad line."""

    def write(self, text: str) -> int:
        signal.raise_signal(signal.SIGINT)
        return super().write(text)


def test_workers_are_woken_once_and_also_where_the_orders_break_off(
    transactional_db: None, celery_broker: Redis
) -> None:
    def orders() -> Iterator[BackfillOrder]:
        yield from CsvFile(io.BytesIO(file_of(20)))
        raise OSError

    with pytest.raises(Interrupted, match="OSError"):
        backfill(orders())
    assert Conversion.objects.filter(state=State.PENDING).count() == 20
    assert celery_broker.llen("celery") == 1
    assert backfill(CsvFile(io.BytesIO(file_of(20)))).known == 20
    assert celery_broker.llen("celery") == 1


def test_a_database_that_goes_away_ends_the_run(db: None) -> None:
    orders = [make_purchase(f"A-{number}") for number in range(3)]

    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        words = "INSERT INTO no_such_table VALUES (1)"
        return execute(words if sql.startswith("SELECT") else sql, *rest)

    with (
        connection.execute_wrapper(refuse),
        pytest.raises(Interrupted, match=r"ended before the first order: \w+Error\."),
    ):
        backfill(orders)


def test_a_rate_holds_back_only_what_is_recorded(db: None) -> None:
    orders = [make_purchase(f"A-{number}") for number in range(3)]
    backfill(orders[:2])
    Conversion.objects.update(state=State.DELIVERED, reason="")
    # Else it would take an hour.
    assert backfill(orders, rate=1 / 3600).known == 2
    assert Conversion.objects.count() == 3
