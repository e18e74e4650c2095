"""The nudge and the worker over RabbitMQ; ``CI_AMQP_URL`` names the server."""

from __future__ import annotations

import os
import sys
import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from kombu import Connection

from connectly_tracking import outbox, wakeup
from connectly_tracking.doctor.celery import examine_broker
from example_project import celery_app
from example_project.demo.supervisor import Supervisor

from ..conftest import broker_at, make_click, make_purchase
from ..faults.process import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connectly_tracking.sandbox import Sandbox

URL = os.environ["CI_AMQP_URL"]


@pytest.fixture
def queue(configure: Any) -> Iterator[str]:
    """A queue of this test's own on a server that others may use, too."""
    name = f"connectly-test-{uuid.uuid4().hex}"
    configure(QUEUE=name)
    with broker_at(URL):
        yield name
        wakeup.publisher.close_connection()
    with Connection(URL) as connection:
        channel: Any = connection.default_channel
        channel.queue_delete(name)


def test_a_nudge_reaches_the_queue(queue: str) -> None:
    for _ in range(3):
        wakeup.wake()
    with Connection(URL) as connection:
        channel: Any = connection.default_channel

        def is_there() -> bool:
            declared = channel.queue_declare(queue, passive=True)
            return int(declared.message_count) == 3

        # A publisher does not wait until RabbitMQ has put it into the queue.
        until(is_there)


def test_the_doctor_asks_rabbitmq(queue: str) -> None:
    (finding,) = examine_broker(celery_app)
    assert finding.code == "broker_ok"  # though nobody has made the queue yet
    wakeup.wake()
    words = f"messages in the queue {queue}: 1."
    until(lambda: next(examine_broker(celery_app)).text.endswith(words))
    stranger = Connection(URL)
    stranger.password = "swordfish"
    with broker_at(stranger.as_uri(include_password=True)):
        (finding,) = examine_broker(celery_app)
    assert finding.code == "broker_auth"
    assert "swordfish" not in finding.text


def test_an_order_is_delivered_by_a_worker_on_rabbitmq(
    transactional_db: None,
    queue: str,
    sandbox: Sandbox,
    process_env: dict[str, str],
    tmp_path: Path,
) -> None:
    celery = [sys.executable, "-m", "celery", "-A", "example_project", "worker"]
    options = ["-Q", queue, "-c", "1", "--without-gossip", "--without-mingle"]
    with Supervisor(tmp_path, threading.Event()) as supervisor:
        supervisor.environ = process_env | {"REDIS_URL": "", "CELERY_BROKER_URL": URL}
        child = supervisor.start("worker", [*celery, *options])
        name = f"celery@{os.uname().nodename}"
        # Of its own: the project's may have a connection to the broker of another test.
        asking = Celery(broker=URL, set_as_current=False)
        supervisor.until_up(
            child, lambda: asking.control.ping(destination=[name], timeout=0.5)
        )
        asking.close()
        outbox.record(make_purchase(), attribution=make_click())
        sandbox.wait_for(lambda s: len(s.events) == 1, timeout=30)
