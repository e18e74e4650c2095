"""The doctor before brokers that refuse, say nothing or lie, and beside workers."""

from __future__ import annotations

import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from connectly_tracking.doctor.celery import (
    broker_problem,
    examine_broker,
    examine_workers,
    project_app,
)
from example_project import celery_app
from example_project.demo.supervisor import Supervisor

from .conftest import broker_at
from .doctor import assert_says, codes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis

    from connectly_tracking.doctor import Finding
    from connectly_tracking.sandbox import Sandbox

    Start = Callable[..., None]


def of_broker() -> list[Finding]:
    return list(examine_broker(project_app()))


def of_workers() -> list[Finding]:
    return list(examine_workers(project_app()))


def test_a_broker_that_answers_is_well(celery_broker: Redis) -> None:
    (finding,) = of_broker()
    assert finding.code == "broker_ok"
    assert finding.text.endswith("messages in the queue celery: 0.")


def test_a_queue_that_nobody_reads_is_seen(celery_broker: Redis) -> None:
    celery_broker.rpush("celery", *["{}"] * 1001)
    _ok, finding = of_broker()
    assert finding.code == "queue_long"
    assert_says(finding, "warning", "1001 messages", "Start more workers")


def test_a_broker_that_refuses(db: None) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{bound.getsockname()[1]}/0"
        with broker_at(url):
            found = codes()
    assert_says(
        found["broker_refused"], "error", "refuses the connection", "Start the broker"
    )
    assert "worker_none" not in found


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_says_nothing_is_not_waited_for(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        with broker_at(f"{scheme}://127.0.0.1:{mute.getsockname()[1]}//"):
            (finding,) = of_broker()
        assert time.monotonic() - began < 3.5
    assert finding.code == "broker_mute"
    assert_says(finding, "error", "does not answer", "firewalls")


def test_a_broker_whose_name_nobody_knows() -> None:
    with broker_at("redis://broker.invalid:6379/0"):
        (finding,) = of_broker()
    assert finding.code in {"broker_unknown_host", "broker_mute"}
    assert finding.level == "error"


def test_a_broker_that_wants_a_password(celery_broker: Redis) -> None:
    celery_broker.config_set("requirepass", "swordfish")
    try:
        (finding,) = of_broker()
    finally:
        celery_broker.execute_command("AUTH", "swordfish")
        celery_broker.config_set("requirepass", "")
    assert finding.code == "broker_auth"
    assert_says(finding, "error", "Correct the user, the password")


def test_a_user_who_may_not_ask_for_the_replication(
    celery_broker: Redis, redis_url: str
) -> None:
    rules = ["on", ">swordfish", "~*", "&*", "+@all", "-info"]
    celery_broker.execute_command("ACL", "SETUSER", "shop", *rules)
    try:
        with broker_at(redis_url.replace("://", "://shop:swordfish@")):
            (finding,) = of_broker()
    finally:
        celery_broker.execute_command("ACL", "DELUSER", "shop")
    assert finding.code == "broker_ok"
    assert "swordfish" not in finding.text


def test_of_several_brokers_no_password_is_shown() -> None:
    hosts = ("redis://:swordfish@127.0.0.1:1/0", "redis://:mackerel@127.0.0.1:2/0")
    with broker_at(";".join(hosts)):
        (finding,) = of_broker()
    assert finding.code == "broker_refused"
    assert not any(word in str(finding) for word in ("swordfish", "mackerel"))


def test_a_replica_takes_no_messages(celery_broker: Redis) -> None:
    celery_broker.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        (finding,) = of_broker()
    finally:
        celery_broker.execute_command("REPLICAOF", "NO", "ONE")
    assert finding.code == "broker_read_only"
    assert_says(finding, "error", "primary")


def test_a_broker_that_speaks_no_tls(sandbox: Sandbox) -> None:
    url = sandbox.url.replace("http://", "rediss://")  # answers, as Redis would not
    with broker_at(f"{url}/0?ssl_cert_reqs=none"):
        (finding,) = of_broker()
    assert finding.code == "broker_tls"
    assert_says(finding, "error", "rediss://")


def test_a_transport_that_is_unknown() -> None:
    with broker_at("pigeon://127.0.0.1/0"):
        assert_says(codes()["check_failed"], "error", "pigeon")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (socket.gaierror(-2, "unknown"), "broker_unknown_host"),
        (ConnectionRefusedError(111, "refused"), "broker_refused"),
        (TimeoutError("timed out"), "broker_mute"),
        (ValueError("NOAUTH Authentication required."), "broker_auth"),
        (ValueError("no idea"), "broker_failed"),
    ],
)
def test_the_first_cause_says_what_it_is(error: Exception, code: str) -> None:
    outer = RuntimeError("wrapped")
    outer.__cause__ = error
    assert broker_problem(outer) == code


@pytest.fixture
def start(
    celery_broker: Redis, process_env: dict[str, str], redis_url: str, tmp_path: Path
) -> Iterator[Start]:
    """Starts a worker with those options."""
    with Supervisor(tmp_path, threading.Event()) as supervisor:
        supervisor.environ = process_env | {"REDIS_URL": redis_url}

        def start(*options: str) -> None:
            command = [sys.executable, "-m", "celery", *options]
            more = ["--pool", "solo", "--loglevel", "info"]
            child = supervisor.start("worker", [*command, *more])
            supervisor.until_up(child, lambda: child.has_said(" ready."))

        yield start


def test_no_worker_is_seen(db: None, celery_broker: Redis) -> None:
    assert_says(codes()["worker_none"], "warning", "celery -A … worker")


def test_a_worker_is_seen_and_whether_it_reads_our_queue(
    db: None, start: Start, configure: Any
) -> None:
    start("-A", "example_project", "worker")
    (finding,) = of_workers()
    assert finding.code == "worker_ok"
    assert "reads the queue celery" in finding.text
    configure(QUEUE="reports")
    (finding,) = of_workers()
    assert finding.code == "worker_not_reading"
    assert_says(finding, "warning", "is not read by celery@", "-Q reports")


def test_a_worker_that_does_not_know_our_tasks(
    db: None, start: Start, redis_url: str
) -> None:
    start("-b", redis_url, "worker")
    (finding,) = of_workers()
    assert finding.code == "worker_lacks_task"
    assert_says(finding, "error", "autodiscover_tasks", "restart")


def test_the_app_is_the_projects() -> None:
    assert project_app() is celery_app
