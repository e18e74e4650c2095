"""A shop for one benchmark: a database, and if asked for a broker, workers, an API."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .api import serving
from .database import database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from example_project.demo.child import Child
    from example_project.demo.supervisor import Supervisor

    from .api import Api

PROCESSES: Final = 2  # of a worker
THREADS: Final = 16  # of a process
PATIENT: Final = 20.0  # seconds


@dataclass(kw_only=True)
class Shop:
    """``api`` answers at once until it is told otherwise."""

    directory: Path
    supervisor: Supervisor
    api: Api
    redis_url: str = ""

    def start_broker(self) -> None:
        """Start a Redis. On a busy machine an order waits longer for its message than a
        shop's would: there is no poll that would send it.
        """
        from connectly_tracking import wakeup
        from example_project import celery_app
        from example_project.demo import broker

        wakeup.MAX_DELAY = wakeup.PUBLISH_TIMEOUT = PATIENT  # type: ignore[misc]
        self.redis_url = broker.url_of(self.supervisor)
        celery_app.conf.update(broker_url=self.redis_url)
        self.supervisor.environ = {"REDIS_URL": self.redis_url}

    def start_worker(self, name: str = "worker", processes: int = PROCESSES) -> Child:
        """Start a Celery worker, and wait until it answers."""
        from example_project import celery_app

        host = f"{name}@bench"
        celery = ["-m", "celery", "-A", "example_project", "worker", "-n", host]
        pool = ["--pool", "prefork", "-c", str(processes), "--loglevel", "warning"]
        child = self.supervisor.start(name, [sys.executable, *celery, *pool])
        control = celery_app.control
        self.supervisor.until_up(
            child, lambda: control.ping(destination=[host], timeout=0.5)
        )
        return child

    @contextmanager
    def for_a_while(self) -> Iterator[Shop]:
        """The same shop, whose new processes end with the block."""
        from example_project.demo.supervisor import Supervisor

        with Supervisor(self.directory, threading.Event()) as supervisor:
            supervisor.environ = self.supervisor.environ
            yield replace(self, supervisor=supervisor)

    def until_arrived(self, orders: int) -> None:
        self.until(lambda: self.api.summary()["orders"] >= orders)

    def until(self, condition: Callable[[], object], seconds: float = 300.0) -> None:
        """Wait for a condition; fails if a child ends."""
        self.supervisor.until(condition, seconds=seconds)


@contextmanager
def shop(name: str = "postgres", *, broker: bool = False) -> Iterator[Shop]:
    """Set up Django in this process, on a new database of that kind."""
    business_id, key = str(uuid.uuid4()), uuid.uuid4().hex
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="connectly-bench-"))
        )
        api = stack.enter_context(serving())
        os.environ.pop("REDIS_URL", None)
        os.environ |= {
            "DEBUG": "false",
            "CONNECTLY_BUSINESS_ID": business_id,
            "CONNECTLY_API_KEY": key,
            "CONNECTLY_BASE_URL": api.url,
        }
        stack.enter_context(database(directory, name))
        from example_project.demo.supervisor import Supervisor

        supervisor = stack.enter_context(Supervisor(directory, threading.Event()))
        made = Shop(directory=directory, supervisor=supervisor, api=api)
        if broker:
            made.start_broker()
        yield made


def computing(pid: int) -> float:
    """The CPU seconds of a process and its children, also of those that ended."""
    import psutil

    whole = psutil.Process(pid)
    times = [it.cpu_times() for it in (whole, *whole.children(recursive=True))]
    seconds: float = sum(
        it.user + it.system + it.children_user + it.children_system for it in times
    )
    return seconds
