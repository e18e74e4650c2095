"""Everything that runs: Connectly's sandbox, Redis, a worker, beat, and the shop."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery import Celery
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.urls import reverse

from . import broker, history
from .ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .child import Child
    from .supervisor import Supervisor

WORKER = f"demo@{LOOPBACK}"
ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where to look; the URLs have no trailing slash."""

    sandbox: str
    shop: str
    password: str
    logs: Path
    history: dict[str, int]  # orders by state; empty without --history

    @property
    def urls(self) -> dict[str, str]:
        return {
            "shop": f"{self.shop}/",
            "admin": self.shop + reverse("admin:index"),
            "sandbox": f"{self.sandbox}/",
        }


def build(
    supervisor: Supervisor, say: Callable[[str], None], *, with_history: bool
) -> Stage:
    """Start everything. Returns when all of it answers."""
    say("Preparing a database")
    password = _prepare_database()
    filled: dict[str, int] = {}
    if with_history:
        # Before a worker could send it.
        say("Filling thirty days")
        filled = history.fill()
    say("Starting Connectly's sandbox and Redis")
    sandbox = _serve(supervisor, "sandbox", "connectly_sandbox", "--port={port}")
    redis = broker.url_of(supervisor)
    supervisor.environ = {"CONNECTLY_BASE_URL": sandbox, "REDIS_URL": redis}
    say("Starting a worker, beat and the shop")
    worker = _start_celery(supervisor)
    address = f"{LOOPBACK}:{{port}}"
    shop = _serve(supervisor, "shop", "runserver", "--noreload", address)
    _await_worker(supervisor, worker, redis)
    return Stage(
        sandbox=sandbox,
        shop=shop,
        password=password,
        logs=supervisor.directory,
        history=filled,
    )


def _prepare_database() -> str:
    call_command("migrate", verbosity=0, interactive=False)
    password = secrets.token_urlsafe(9)
    get_user_model()._default_manager.create_superuser(
        username=ADMIN, password=password
    )
    return password


def _start_celery(supervisor: Supervisor) -> Child:
    celery = [sys.executable, "-m", "celery", "-A", "example_project"]
    quiet = ["--without-gossip", "--without-mingle"]
    level = ["--loglevel", "info"]
    named = ["worker", "-c2", "-n", WORKER]
    worker = supervisor.start("worker", [*celery, *named, *quiet, *level])
    schedule = str(supervisor.directory / "beat-schedule")
    supervisor.start("beat", [*celery, "beat", "-s", schedule, "--pidfile=", *level])
    return worker


def _await_worker(supervisor: Supervisor, worker: Child, redis: str) -> None:
    with Celery(broker=redis, set_as_current=False) as app:
        app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
        supervisor.until_up(
            worker, lambda: app.control.ping(destination=[WORKER], timeout=0.5)
        )


def _serve(supervisor: Supervisor, name: str, *command: str) -> str:
    """Start a command that prints its URL when it listens. Returns the URL."""
    manage = [sys.executable, os.fspath(settings.BASE_DIR / "manage.py")]
    port = supervisor.serve(
        name,
        lambda port: [*manage, *(part.format(port=port) for part in command)],
        lambda child, port: child.has_said(_url(port)),
    )
    return _url(port)


def _url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"
