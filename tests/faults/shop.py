"""A shop whose every process is a real one, on the test's database."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from connectly_tracking.conf import conf
from connectly_tracking.models import Conversion
from connectly_tracking.signals import order_completed
from example_project.shop.models import Order, Product

from ..conftest import broker_at, make_click
from .customer import SKU, Customer
from .process import PATIENCE, Process, until
from .redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from connectly_tracking.models import Attribution
    from connectly_tracking.sandbox import Sandbox

PYTHON: Final = sys.executable
MANAGE: Final = [PYTHON, str(settings.BASE_DIR / "manage.py")]
CELERY: Final = [PYTHON, "-m", "celery", "-A", "example_project"]
POLL: Final = 0.5  # seconds between two polls by beat

#: Short ones, with LEASE at least twice DEADLINE; and few threads, so that what may be
#: in flight is little.
CLOCKS: Final[dict[str, Any]] = {
    "LEASE": 2,
    "DEADLINE": 0.8,
    "READ_TIMEOUT": 0.5,
    "CONNECT_TIMEOUT": 0.5,
    "RETRY_SCHEDULE": [0.2, 0.5, 1],
    "PROBE_SCHEDULE": [0.5, 1],
    "THREADS": 4,
}


class Shop:
    """Starts processes, and ends them whatever happens.

    ``broker`` is a URL, or None for a shop that has none. It, `configure` and `set`
    hold for what is started afterwards. ``in_flight`` is how many requests may have
    been under way in the senders that were killed so far.
    """

    def __init__(
        self,
        directory: Path,
        environ: dict[str, str],
        sandbox: Sandbox,
        configure: Callable[..., None],
    ) -> None:
        self.sandbox = sandbox
        self.broker: str | None = None
        self.in_flight = 0
        self._directory = directory
        self._environ = environ
        self._configure = configure
        self._settings: dict[str, Any] = {"CONNECTLY_TRACKING": {}}
        self._processes: list[Process] = []
        self._redises: list[RedisServer] = []
        self._customers: list[Customer] = []
        self._click: Attribution | None = None
        self.configure(**CLOCKS)

    def __enter__(self) -> Self:
        Product.objects.update_or_create(
            sku=SKU, defaults={"name": "Tee", "price": "49.99", "currency": "USD"}
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end()

    def end(self) -> None:
        """Kill all that runs. Does nothing the second time."""
        for customer in self._customers:
            customer.close()
        for process in self._processes:
            process.kill()
        for redis in self._redises:
            redis.close()

    def configure(self, **changes: Any) -> None:
        """Settings of ours, in this process as well."""
        self._configure(**changes)
        self._settings["CONNECTLY_TRACKING"].update(changes)

    def set(self, **changes: Any) -> None:
        """The project's settings; ``DATABASE`` is laid over the default database's."""
        self._settings.update(changes)

    def install(self, app: str, **changes: Any) -> None:
        """One more app of the project's, and its settings."""
        apps = self._settings.get("INSTALLED_APPS", settings.INSTALLED_APPS)
        self.set(INSTALLED_APPS=[*apps, app], **changes)

    def redis(self) -> RedisServer:
        """It is the broker once ``broker`` says so."""
        redis = RedisServer(partial(self.start, "redis"), self._directory)
        self._redises.append(redis)
        return redis.start()

    def web(self) -> Process:
        """A web process that serves."""
        command = [PYTHON, "-m", "tests.faults.web"]
        return self.start("web", command, "serving at ").ready()

    def customer(self, web: Process) -> Customer:
        """Somebody new, at one of the web processes."""
        url = web.said().partition("serving at ")[2].split()[0]
        customer = Customer(url)
        self._customers.append(customer)
        return customer

    def worker(self, *options: str, concurrency: int = 2) -> Process:
        """A Celery worker with so many processes; await it with ``ready()``."""
        name = f"worker-{uuid4().hex}@shop"  # other shops may be on the same broker
        quiet = ["--without-gossip", "--without-mingle", "--loglevel", "info"]
        command = [*CELERY, "worker", "-n", name, "-c", str(concurrency), *quiet]
        return self.start(
            "worker", [*command, *options], f"{name} ready", senders=concurrency
        )

    def beat(self) -> Process:
        """Polls twice a second; nothing to await."""
        schedule = str(self._directory / f"beat-{len(self._processes)}")
        options = ["-s", schedule, "--pidfile=", "--loglevel", "info"]
        return self.start("beat", [*CELERY, "beat", *options])

    def looper(self, interval: float = 0.2) -> Process:
        """``connectly_deliver --loop``: sends without Celery; nothing to await."""
        options = ["--loop", f"--interval={interval}"]
        return self.start("looper", [*MANAGE, "connectly_deliver", *options], senders=1)

    def start(
        self, name: str, command: Sequence[str], ready_words: str = "", senders: int = 0
    ) -> Process:
        """Any other process of the shop's."""
        name = f"{name}-{len(self._processes)}"
        process = Process(
            name,
            command,
            log=self._directory / f"{name}.log",
            environ=self.environ,
            ready_words=ready_words,
            senders=senders,
        )
        self._processes.append(process)
        return process

    @property
    def environ(self) -> dict[str, str]:
        """What a process that is started now is told."""
        # Celery prefers these to the settings.
        inherited = {
            name: value
            for name, value in self._environ.items()
            if not name.startswith("CELERY_")
        }
        changed = {"CELERY_BROKER_URL": self.broker} | self._settings
        return inherited | {
            "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
            "FAULTS_SETTINGS": json.dumps(changed),
            "CONNECTLY_POLL": str(POLL),
        }

    def kill(self, process: Process) -> None:
        """SIGKILL, and to all that it has started."""
        self.in_flight += process.senders * 2 * conf.THREADS
        process.kill()

    def orders(self, count: int = 1) -> list[str]:
        """Place so many orders from this process, each with its conversion."""
        self._click = self._click or make_click()
        product, numbers = Product.objects.get(sku=SKU), list[str]()
        with broker_at(self.broker):
            for _ in range(count):
                with transaction.atomic():
                    order = Order.objects.place(product, quantity=1)
                    order_completed.send(
                        sender=Order, order=order, attribution=self._click
                    )
                numbers.append(order.number)
        return numbers

    def until_quiet(self, *, seconds: float = PATIENCE) -> None:
        """Until every row is final. Raises TimeoutError with what the processes say."""
        open_rows = Conversion.objects.exclude(due_at=None)
        try:
            until(lambda: not open_rows.exists(), seconds=seconds)
        except TimeoutError as exc:
            raise TimeoutError(f"{exc}: {self.describe()}") from None

    def describe(self) -> str:
        """For a person who wonders."""
        rows = Conversion.objects.exclude(due_at=None)
        waiting = [f"{row.order_id} {row.state}" for row in rows[:20]]
        ends = [f"{process.name}: {process.last_words}" for process in self._processes]
        return "\n".join([f"{rows.count()} rows wait: {waiting}", *ends])
