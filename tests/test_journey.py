"""One customer's way through a real worker, a real Redis and a real socket."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from connectly_tracking.models import Conversion, State
from example_project import celery_app
from example_project.demo.supervisor import Supervisor
from example_project.shop.models import Product

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from django.test import Client
    from redis import Redis

    from connectly_tracking.sandbox import Sandbox


@pytest.fixture
def worker(
    transactional_db: None,
    celery_broker: Redis,
    redis_url: str,
    process_env: dict[str, str],
    tmp_path: Path,
) -> Iterator[None]:
    """A Celery worker as a shop runs it; no beat, so that the nudge is what counts."""
    celery = [sys.executable, "-m", "celery", "-A", "example_project", "worker"]
    with Supervisor(tmp_path, threading.Event()) as supervisor:
        supervisor.environ = process_env | {"REDIS_URL": redis_url}
        child = supervisor.start("worker", [*celery, "-c", "2", "--loglevel", "info"])
        supervisor.until_up(child, lambda: celery_app.control.ping(timeout=0.5))
        yield


def test_a_landing_becomes_a_delivered_conversion(
    worker: None,
    sandbox: Sandbox,
    client: Client,
    connectly_landing: Any,
    connectly_reported: Any,
) -> None:
    Product.objects.update_or_create(
        sku="tee", defaults={"name": "Tee", "price": "49.99", "currency": "USD"}
    )
    click = connectly_landing()
    bought = client.post("/checkout/", {"sku": "tee", "quantity": 2, "email": ""})
    assert bought.status_code == 302

    sandbox.wait_for(lambda s: len(s.events) == 1, timeout=30)
    row = Conversion.objects.get()
    connectly_reported(
        row.order_id,
        value="99.98",
        currency="USD",
        event_time=row.event_time,
        click=click,
    )
    await_state(row, State.DELIVERED)
    assert row.delivery_attempts.get().outcome == "confirmed"


def await_state(row: Conversion, state: State) -> None:
    """The answer is on the wire before it is in the table."""
    waiting = threading.Event()
    for _ in range(200):
        row.refresh_from_db()
        if row.state == state:
            return
        waiting.wait(0.05)
    raise AssertionError(f"still {row.state}")
