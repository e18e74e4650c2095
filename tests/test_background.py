"""Django's own tasks wake a worker where there is no Celery broker."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.tasks.backends.base import BaseTaskBackend

from connectly_tracking import wakeup

from .test_wakeup import SOON

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectly_tracking.sandbox import Sandbox

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = """\
from example_project.settings import *

INSTALLED_APPS += ["django_tasks_db"]
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": []}}
CELERY_BROKER_URL = None
"""
ORDER = """\
import sys
import django

django.setup()
from connectly_tracking import wakeup

wakeup.MAX_DELAY = 20  # however crowded the machine is
from django.db import transaction
from django.utils import timezone
from connectly_tracking import outbox
from connectly_tracking.api.landing import Landing
from connectly_tracking.events import Item, Purchase
from connectly_tracking.models import Attribution

with transaction.atomic():
    click = Attribution.from_landing(
        Landing(cnct_tracking_id="t", sendout_id="s", ctwa_clid="c", ad_id="1")
    )
    click.save()
    purchase = Purchase(
        order_id="ORD-1", value=5, currency="USD", event_time=timezone.now(),
        contents=[Item(id="a", quantity=1, item_price=5)],
    )
    outbox.record(purchase, attribution=click)
assert "requests" not in sys.modules
"""


@pytest.fixture
def project(
    tmp_path: Path, sandbox: Sandbox, settings: Any
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python in a shop with a database and a task backend of its own."""
    (tmp_path / "tasks_settings.py").write_text(SETTINGS)
    business = settings.CONNECTLY_TRACKING
    environ = {name: it for name, it in os.environ.items() if name != "REDIS_URL"} | {
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "DJANGO_SETTINGS_MODULE": "tasks_settings",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "CONNECTLY_BUSINESS_ID": business["BUSINESS_ID"],
        "CONNECTLY_API_KEY": business["API_KEY"],
        "CONNECTLY_BASE_URL": sandbox.url,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def test_an_order_wakes_a_worker_of_a_real_backend(
    project: Callable[..., subprocess.CompletedProcess[str]], sandbox: Sandbox
) -> None:
    project("-m", "django", "migrate", "--verbosity", "0")
    checked = project("-m", "django", "check").stderr
    assert "W007" not in checked
    assert "W008" not in checked
    project("-c", ORDER)
    assert sandbox.received_count == 0
    project("-m", "django", "db_worker", "--batch", "--no-reload")
    assert sandbox.received_count == 1
    found = project("-m", "django", "connectly_doctor", "--json").stdout
    assert "broker_django_tasks" in found


@pytest.mark.parametrize("kind", ["immediate.Immediate", "dummy.Dummy"])
def test_a_backend_without_workers_wakes_nobody(settings: Any, kind: str) -> None:
    settings.TASKS = {"default": {"BACKEND": f"django.tasks.backends.{kind}Backend"}}
    assert not wakeup.has_task_backend()


def test_a_backend_that_cannot_be_loaded_costs_no_order_anything(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.TASKS = {"default": {"BACKEND": "no.such.Backend"}}
    wakeup.publisher.wake()
    assert "wakeup_failed" in caplog.text


class HangingBackend(BaseTaskBackend):
    """Its broker takes the connection and says nothing."""

    released = threading.Event()
    asked = 0

    def enqueue(self, *_: Any) -> Any:
        type(self).asked += 1
        self.released.wait(SOON)


def test_a_backend_that_hangs_costs_an_order_three_tenths_of_a_second_once(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.TASKS = {"default": {"BACKEND": f"{__name__}.HangingBackend"}}
    began = time.perf_counter()
    try:
        wakeup.wake()
        assert 0.2 < time.perf_counter() - began < 0.9 * SOON
        wakeup.wake()
    finally:
        HangingBackend.released.set()
    assert HangingBackend.asked == 1
    assert caplog.text.count("wakeup_failed") == 1
