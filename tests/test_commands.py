from __future__ import annotations

import io
import math
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from connectly_tracking import outbox
from connectly_tracking.delivery.run import Run
from connectly_tracking.models import Conversion, State

from .conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectly_tracking.sandbox import Sandbox

ROOT = Path(__file__).parent.parent


def run(*arguments: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


def record(count: int) -> None:
    click = make_click()
    for number in range(count):
        outbox.record(make_purchase(f"ORD-{number}"), attribution=click)


def test_deliver_sends_what_is_due_and_says_so(db: None, sandbox: Sandbox) -> None:
    record(3)
    assert run("connectly_deliver") == "claimed 3, delivered 3\n"
    assert run("connectly_deliver") == "claimed 0\n"


def test_deliver_counts_what_is_due(db: None, sandbox: Sandbox) -> None:
    record(3)
    assert run("connectly_deliver", dry_run=True) == "default: 3 due\n"
    assert sandbox.received_count == 0
    run("connectly_deliver")
    assert run("connectly_deliver", dry_run=True) == "Nothing is due.\n"


def test_deliver_keeps_to_its_limit(db: None, sandbox: Sandbox) -> None:
    record(3)
    assert run("connectly_deliver", limit=2) == "claimed 2, delivered 2\n"
    assert sandbox.received_count == 2


def test_deliver_in_a_loop_ends_with_its_limit(
    transactional_db: None, sandbox: Sandbox
) -> None:
    record(3)
    said = run("connectly_deliver", loop=True, limit=3, interval=0.01)
    assert said.splitlines()[-1] == "in all: claimed 3, delivered 3"


def test_a_loop_outlives_a_database_that_fails(
    transactional_db: None, sandbox: Sandbox
) -> None:
    record(2)
    failures = [1, 1, 1, 1]  # a claim is tried once more before the loop hears of it

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if failures:
            failures.pop()
            raise OperationalError("gone for a moment")
        return execute(sql, params, many, context)

    errors = io.StringIO()
    with connection.execute_wrapper(fail):
        said = run(
            "connectly_deliver", loop=True, limit=2, interval=0.01, stderr=errors
        )
    heard = 2 if Run.begin().claim_is_cheap else 4  # a poll is not tried again
    assert errors.getvalue().count("OperationalError; trying again") == heard
    assert "in all: claimed 2, delivered 2" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": 0}, "--limit"),
        ({"interval": 0}, "--interval"),
        ({"interval": math.inf}, "--interval"),
        ({"interval": math.nan}, "--interval"),
    ],
)
def test_deliver_refuses_nonsense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run("connectly_deliver", **options)


def test_deliver_says_that_sending_is_off(configure: Any) -> None:
    configure(SEND=False)
    with pytest.raises(CommandError, match="SEND"):
        run("connectly_deliver")


def test_deliver_leaves_the_signal_handlers_as_they_were(
    db: None, sandbox: Sandbox
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run("connectly_deliver")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def loop(
    transactional_db: None, process_env: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    command = ["manage.py", "connectly_deliver", "--loop", "--interval", "0.1"]
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=process_env,
        text=True,
        stdout=subprocess.PIPE,
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_loop_sends_without_celery_and_ends_cleanly(
    loop: subprocess.Popen[str], sandbox: Sandbox, number: int
) -> None:
    record(5)
    sandbox.wait_for(lambda s: len(s.events) == 5, timeout=30)
    assert loop.stdout is not None
    first = loop.stdout.readline()
    loop.send_signal(number)
    rest = loop.stdout.read()
    assert loop.wait(20) == 0
    assert first.startswith("claimed ")
    assert "in all: claimed 5, delivered 5" in rest
    assert set(Conversion.objects.values_list("state", flat=True)) == {State.DELIVERED}


def test_the_sandbox_command_knows_the_projects_business(
    process_env: dict[str, str],
) -> None:
    with subprocess.Popen(
        [sys.executable, "manage.py", "connectly_sandbox"],
        cwd=ROOT,
        env=process_env,
        text=True,
        stdout=subprocess.PIPE,
    ) as process:
        killer = threading.Timer(30, process.kill)
        killer.start()
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{url}/healthz") as answer:  # noqa: S310
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        killer.cancel()


def test_the_sandbox_command_says_what_it_lacks(configure: Any) -> None:
    configure(API_KEY="")
    with pytest.raises(CommandError, match="API_KEY"):
        run("connectly_sandbox")
