"""Customers buy while workers are killed at random; then all is calm."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import connection

from tests.tools.chaos import Chaos

from . import sender
from .aftermath import Aftermath
from .process import PATIENCE, until
from .shop import CELERY, POLL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.tools.group import Group

    from .customer import Customer
    from .shop import Shop

EVERY: Final = (0.3, 2.0)  # seconds from one kill to the next
WEBS: Final = 2
CUSTOMERS: Final = 4
WORKERS: Final = 3
PROCESSES: Final = 2  # of each worker's pool
LATENCY: Final = 0.05  # seconds that Connectly takes for an answer
CALM: Final = 120.0  # seconds that it may take to come to rest
NEVER: Final = 1e6  # seconds
STARTED: Final = "=== started"

#: With more time for an answer than a crowded machine takes, so that what is sent again
#: is due to a kill; where a circuit opens all the same, it is soon tried again.
CLOCKS: Final[dict[str, Any]] = {
    "LEASE": 4,
    "DEADLINE": 2,
    "READ_TIMEOUT": 2,
    "PROBE_SCHEDULE": [0.5],
}
CONDITIONS: Final = (
    f"{WORKERS} workers of {PROCESSES} processes, of which one is killed every"
    f" {EVERY[0]:g} to {EVERY[1]:g} s; a lease of {CLOCKS['LEASE']} s, a poll every"
    f" {POLL:g} s; an API that takes {1000 * LATENCY:g} ms"
)


def storm(
    shop: Shop, directory: Path, *, seed: int, orders: int, seconds: float
) -> Aftermath:
    """So many orders in so many seconds or more, and all that can come of them."""
    began = time.monotonic()
    shop.configure(**CLOCKS)
    sender.install(shop)
    shop.sandbox.delay = LATENCY
    if connection.vendor == "sqlite":
        # Its lock goes to whoever asks at the right moment. Where a machine is crowded,
        # the shop's sessions may ask in vain for longer than the 5 s of its default.
        options = connection.settings_dict["OPTIONS"]
        shop.set(DATABASE={"OPTIONS": options | {"timeout": PATIENCE}})
    webs = [shop.web() for _ in range(WEBS)]
    customers = [shop.customer(webs[number % WEBS]) for number in range(CUSTOMERS)]
    shop.beat()
    with ExitStack() as running:
        workers = [
            running.enter_context(Mortal(shop, directory, number))
            for number in range(WORKERS)
        ]
        # Where a machine is crowded, nobody may be up to be killed before all is sold.
        until(lambda: all(worker.is_up for worker in workers))
        with _reaper(workers, Random(seed)):
            told = _sell(customers, orders, seconds)
    kills = [kill for worker in workers for kill in worker.kills]
    shop.worker(concurrency=PROCESSES)
    shop.until_quiet(seconds=CALM)
    return Aftermath.of(shop, told, kills, seconds=time.monotonic() - began)


class Mortal(Chaos):
    """A worker that is killed when it is told to, and starts again."""

    def __init__(self, shop: Shop, directory: Path, number: int) -> None:
        self.name = f"mortal-{number}@shop"
        self.log = directory / f"mortal-{number}.log"
        options = ["-n", self.name, "-c", str(PROCESSES), "--loglevel", "info"]
        super().__init__(
            [*CELERY, "worker", *options, "--without-gossip", "--without-mingle"],
            every=(NEVER, NEVER),
            seed=number,
            env=shop.environ,
            cwd=settings.BASE_DIR,
            log=self.log,
        )

        launch = self._launch

        def launch_noted() -> Group:
            with self.log.open("a") as log:
                log.write(f"{STARTED}\n")
            return launch()

        self._launch = launch_noted  # type: ignore[assignment]

    @property
    def is_up(self) -> bool:
        """Since it was started last: one that was killed before never says so."""
        said = self.log.read_text(errors="replace")
        return f"{self.name} ready" in said.rpartition(STARTED)[2]


@contextmanager
def _reaper(workers: Sequence[Mortal], chance: Random) -> Iterator[None]:
    """Every now and then it takes one that is up; those that are not do nothing yet."""
    over = threading.Event()

    def reap() -> None:
        while not over.wait(chance.uniform(*EVERY)):
            if up := [worker for worker in workers if worker.is_up]:
                chance.choice(up).strike()

    thread = threading.Thread(target=reap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _sell(customers: Sequence[Customer], orders: int, seconds: float) -> list[str]:
    """Evenly over that time, or as fast as it goes. Returns the orders' numbers."""
    began, closed = time.monotonic(), threading.Event()

    def is_closed_before(turn: int) -> bool:
        starts_at = began + seconds * turn / orders
        return closed.wait(max(0, starts_at - time.monotonic()))

    def shop_around(number: int) -> list[str]:
        customer, bought = customers[number], list[str]()
        customer.land()
        for turn in range(number, orders, len(customers)):
            if is_closed_before(turn):
                break
            bought.append(customer.buy())
        return bought

    with ThreadPoolExecutor(len(customers)) as pool:
        try:
            bought = list(pool.map(shop_around, range(len(customers))))
            is_closed_before(orders)
        finally:
            closed.set()
    return [number for numbers in bought for number in numbers]
