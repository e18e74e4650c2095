"""Beside its peers, at the checkout and in delivery: ``python -m benchmarks.peers``.

The peers are installed into an environment of their own, below ``build``, where all of
them and this app run; those that cannot be installed with this Python are left out. All
have the same database, API and cores, and a persistent connection to the database. A
worker is two processes of 16 threads if it has threads: those of django-tasks-db, and
Celery's for a task per row and for django-celery-outbox, send one order at a time.
django-outbox-pattern hands its messages to a STOMP broker: it is measured at the
checkout only.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final

from ..checkout import INSERT, Pages
from ..drain import OneTaskPerRow, Ours, drain, drain_bare
from ..line import Line
from ..rows import body_of
from ..shop import PROCESSES, THREADS, shop
from .environment import python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..drain import Drained
    from ..line import Round
    from ..shop import Shop
    from .contenders import Peer

__all__ = ["LINES", "ROUNDS", "SMALL", "python", "subject"]

ROUNDS: Final = 5
SMALL: Final = {"times": 2, "rows": 200, "delays": "0"}
#: A small run asks an API of no delay only.
SMALL_IS_PARTIAL: Final = True
DELAYS: Final = (0, 20, 100)  # ms
NAMES: Final = (
    "django-ox",
    "procrastinate",
    "django-tasks-db",
    "django-celery-outbox",
    "django-outbox-pattern",
)
OURS: Final = ("this app without the wake-up", "this app with the wake-up")
PER_ROW: Final = "Celery, one task per row"
BARE: Final = "threads that only post"
#: The least times of the best peer, by the API's delay.
GOALS: Final = {0: None, 20: 3.0, 100: 1.2}

LINES: Final = (
    *(
        Line(name=f"Checkout: {name}", of=f"checkout {name}", beside=INSERT, unit="µs")
        for name in (*OURS, *NAMES, PER_ROW)
    ),
    *(
        line
        for delay in DELAYS
        for line in (
            Line(
                name=f"Delivery, {delay} ms: this app beside the best peer",
                of=f"{delay} this app",
                beside=f"{delay} best peer",
                unit="/s",
                goal=GOALS[delay],
                is_least=True,
            ),
            *(
                Line(
                    name=f"Delivery, {delay} ms: {name}",
                    of=f"{delay} {name}",
                    unit="/s",
                )
                for name in ("this app", *NAMES, PER_ROW, BARE)
            ),
            *(
                Line(
                    name=f"Delivery, {delay} ms: CPU of an order, {name}",
                    of=f"{delay} CPU {name}",
                    unit="ms",
                )
                for name in ("this app", *NAMES, PER_ROW, BARE)
            ),
        )
    ),
)


@contextmanager
def subject(
    *, times: int = 30, rows: int = 2000, delays: str = "0,20,100"
) -> Iterator[Callable[[], Round]]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.peers.settings"
    with shop("postgres", broker=True) as made:
        from .contenders import peers

        found = list(peers())
        pages = Pages()
        pages.round(3)

        _checkout(pages, found, times)

        def measure() -> Round:
            measured = _checkout(pages, found, times)
            with made.for_a_while() as crew:
                ours = Ours(pids=[crew.start_worker().pid])
                drain(crew, ours, PROCESSES * THREADS * 8, 0.0)
                workers = [peer for peer in found if peer.commands]
                for peer in workers:
                    peer.start_workers(crew)
                    _sent(crew, peer, 64, 0.0)  # they have started, and connected
                for delay in map(int, delays.split(",")):
                    each = _delivery(crew, ours, workers, rows, delay / 1000)
                    measured |= {f"{delay} {name}": it for name, it in each.items()}
            return measured

        yield measure


def _checkout(pages: Pages, found: list[Peer], times: int) -> dict[str, float]:
    """The medians in µs; all take turns."""
    body = json.dumps(body_of("ORD-1"))
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        INSERT: lambda: pages.order(pages.insert_by_hand),
        f"checkout {OURS[0]}": lambda: pages.checkout(broker=False),
        f"checkout {OURS[1]}": lambda: pages.checkout(broker=True),
        f"checkout {PER_ROW}": lambda: pages.order(pages.delay_by_hand),
    }
    for peer in found:
        ways[f"checkout {peer.name}"] = partial(_order, pages, peer, body)
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(times):
        for name, way in ways.items():
            took[name].append(way()[0])
    pages.forget()
    for peer in found:
        peer.clear()
    return {name: median(each) for name, each in took.items()}


def _order(pages: Pages, peer: Peer, body: str) -> tuple[float, float]:
    return pages.order(lambda *_: peer.enqueue(body))


def _delivery(
    made: Shop, ours: Ours, workers: list[Peer], rows: int, delay: float
) -> dict[str, float]:
    """Orders a second, and CPU ms of an order, by the sender's name."""
    few = max(20, rows // 40)
    all_ = {
        "this app": drain(made, ours, rows, delay),
        PER_ROW: drain(made, OneTaskPerRow(pids=ours.pids), few, delay),
        BARE: drain_bare(made, rows, delay),
    }
    of_peers = {
        peer.name: _sent(made, peer, max(20, int(rows * peer.share)), delay)
        for peer in workers
    }
    all_ |= of_peers
    measured = {name: it.rate for name, it in all_.items()}
    measured |= {f"CPU {name}": it.cpu_ms for name, it in all_.items()}
    if of_peers:
        measured["best peer"] = max(it.rate for it in of_peers.values())
    return measured


def _sent(made: Shop, peer: Peer, count: int, delay: float) -> Drained:
    found = drain(made, peer, count, delay)
    peer.clear()
    return found
