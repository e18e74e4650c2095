"""A real worker on each pool that a shop may choose, beside a real Redis."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connectly_tracking import outbox
from connectly_tracking.models import Conversion, State
from example_project.demo.supervisor import Supervisor

from .conftest import broker_at, make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from connectly_tracking.sandbox import Sandbox
    from example_project.demo.child import Child

    Start = Callable[..., Child]

ORDERS = 30
PATIENCE = 60.0  # seconds; a worker needs two or three of them, on a machine at rest

RUNNING = Path(__file__).parent.parent / "docs/operator/running.md"
DOCUMENTED = re.findall(r"```python\n(.*?)```", RUNNING.read_text(), re.S)

each_pool = pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])


@pytest.fixture
def environ(process_env: dict[str, str], redis_url: str) -> dict[str, str]:
    """Of the shop's other processes."""
    return process_env | {"REDIS_URL": redis_url}


@pytest.fixture
def start(
    transactional_db: None,
    celery_broker: Redis,
    environ: dict[str, str],
    tmp_path: Path,
) -> Iterator[Start]:
    """Starts a worker as a shop runs it; no beat, so that the nudge is what counts."""
    celery = [sys.executable, "-m", "celery", "-A", "example_project", "worker"]
    with Supervisor(tmp_path, threading.Event()) as supervisor:
        supervisor.environ = environ

        def start(pool: str, *more: str) -> Child:
            options = ["--pool", pool, "-c", "2", "--loglevel", "info", *more]
            child = supervisor.start("worker", [*celery, *options])
            supervisor.until_up(child, lambda: child.has_said(" ready."))
            return child

        yield start


def record(count: int = ORDERS) -> None:
    click = make_click()
    for number in range(count):
        outbox.record(make_purchase(f"ORD-{number}"), attribution=click)


def states() -> dict[str, int]:
    found = list(Conversion.objects.values_list("state", flat=True))
    return {state: found.count(state) for state in sorted(set(found))}


def until_quiet() -> None:
    """The answer is on the wire before it is in the table."""
    waiting = threading.Event()
    for _ in range(400):
        if set(states()) <= {State.DELIVERED}:
            return
        waiting.wait(0.05)
    raise AssertionError(states())


def ended(worker: Child) -> str:
    worker.ask_to_end()
    worker.end(PATIENCE)
    return worker.ending


@each_pool
def test_thirty_orders_are_delivered_once_and_sigterm_ends_the_worker(
    start: Start, sandbox: Sandbox, pool: str
) -> None:
    worker = start(pool)
    record()
    sandbox.wait_for(lambda s: s.event_count >= ORDERS, timeout=60)
    until_quiet()
    assert ended(worker) == "exit status 0"
    assert sandbox.received_count == ORDERS
    assert not worker.has_said("Traceback")


@each_pool
def test_sigterm_in_the_middle_finishes_what_is_under_way_and_gives_back_the_rest(
    start: Start, sandbox: Sandbox, pool: str
) -> None:
    worker = start(pool)
    sandbox.delay = 2.0
    record()
    sandbox.wait_for(lambda s: s.received_count >= 1, timeout=60)
    assert ended(worker) == "exit status 0"
    sent = sandbox.event_count
    assert 0 < sent < ORDERS
    assert sandbox.received_count == sent
    assert states() == {State.DELIVERED: sent, State.PENDING: ORDERS - sent}
    assert not worker.has_said("Traceback")


#: What a project may set for tasks of its own, and must not change what ours rest on.
HOSTILE = """
CELERY_TASK_SERIALIZER = "pickle"
CELERY_ACCEPT_CONTENT = ["pickle"]
CELERY_TASK_DEFAULT_RATE_LIMIT = "1/h"
CELERY_TASK_TIME_LIMIT = CELERY_TASK_SOFT_TIME_LIMIT = 0.01
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = False
CELERY_TASK_TRACK_STARTED = True
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = True
CELERY_RESULT_BACKEND = "redis://127.0.0.1:1/0"
CELERY_TASK_PROTOCOL = 1
CELERY_ENABLE_UTC = False
CELERY_TIMEZONE = "America/Sao_Paulo"
"""
AS_AN_ORDER_DOES = "from connectly_tracking.wakeup import wake; wake()"
AS_BEAT_DOES = "from connectly_tracking.tasks import deliver_due as d; d.apply_async()"


def test_no_global_of_the_projects_keeps_the_worker_from_its_work(
    start: Start, sandbox: Sandbox, environ: dict[str, str], tmp_path: Path
) -> None:
    environ |= with_settings(HOSTILE, tmp_path)
    environ["C_FORCE_ROOT"] = "1"  # Celery wants no pickle as root
    start("prefork")
    publishers = [AS_AN_ORDER_DOES, AS_AN_ORDER_DOES, AS_BEAT_DOES]
    for count, publish in enumerate(publishers, 1):
        with broker_at(None):
            outbox.record(make_purchase(f"ORD-{count}"), attribution=make_click())
        code = f"import django; django.setup(); {publish}"
        subprocess.run([sys.executable, "-c", code], env=environ, check=True)
        sandbox.wait_for(partial(has_counted, count), timeout=30)


def test_a_worker_runs_on_the_documented_settings(
    start: Start,
    sandbox: Sandbox,
    environ: dict[str, str],
    tmp_path: Path,
    configure: Any,
) -> None:
    environ |= with_settings(DOCUMENTED[0], tmp_path)
    configure(QUEUE="connectly")
    worker = start("prefork", "-Q", "connectly")
    record(3)
    sandbox.wait_for(partial(has_counted, 3), timeout=60)
    until_quiet()
    assert ended(worker) == "exit status 0"


def with_settings(text: str, directory: Path) -> dict[str, str]:
    """What tells a process of the shop to use the example's settings with these."""
    module = directory / "changed_settings.py"
    module.write_text(f"from example_project.settings import *\n{text}")
    path = [str(directory), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "DJANGO_SETTINGS_MODULE": module.stem,
        "PYTHONPATH": os.pathsep.join(path),
    }


def has_counted(count: int, sandbox: Sandbox) -> bool:
    return sandbox.event_count == count
