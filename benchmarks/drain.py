"""How fast a backlog is sent, by whoever sends it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol

from . import rows
from .shop import PROCESSES, THREADS, computing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .shop import Shop

PATH: Final = "/external/v1/businesses/bench/conversion_events"


@dataclass(frozen=True, kw_only=True)
class Drained:
    """``rate``: orders a second between the first and the last arrival; ``cpu_ms``: of
    all processes of the sender, for each order.
    """

    rate: float
    cpu_ms: float


class Sender(Protocol):
    def fill(self, count: int) -> None:
        """Write so many orders, which are not sent yet."""

    def start(self) -> None:
        """Begin to send them."""

    def has_left(self) -> bool:
        """Whether it has not yet written down that all are sent."""

    @property
    def pids(self) -> Sequence[int]: ...


def drain(shop: Shop, sender: Sender, count: int, delay: float) -> Drained:
    """Let it send so many orders, each once."""
    shop.api.reset(delay)
    sender.fill(count)
    before = sum(map(computing, sender.pids))
    sender.start()
    shop.until_arrived(count)
    shop.until(lambda: not sender.has_left())
    took = sum(map(computing, sender.pids)) - before
    return Drained(rate=_rate(shop, count), cpu_ms=1000 * took / count)


@dataclass(frozen=True, kw_only=True)
class Ours:
    """A Celery worker with this app."""

    pids: Sequence[int]

    def fill(self, count: int) -> None:
        rows.clear()
        rows.record(range(count))

    def start(self) -> None:
        from connectly_tracking.wakeup import wake

        wake()

    def has_left(self) -> bool:
        return rows.is_any_undelivered()


class OneTaskPerRow(Ours):
    """The same worker, with a Celery task for each row."""

    def start(self) -> None:
        from connectly_tracking.models import Conversion

        from .tasks import send_one

        for pk in Conversion.objects.values_list("pk", flat=True):
            send_one.delay(pk)


def drain_bare(
    shop: Shop,
    count: int,
    delay: float,
    processes: int = PROCESSES,
    threads: int = THREADS,
) -> Drained:
    """The same by processes of threads that post, and do no more."""
    shop.api.reset(delay)
    edges = [count * number // processes for number in range(processes + 1)]
    pipe: Final = subprocess.PIPE
    with ExitStack() as stack:
        senders = []
        for first, last in pairwise(edges):
            place = [shop.api.url + PATH, str(threads), str(first), str(last)]
            sender = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.bare", *place],
                stdin=pipe,
                stdout=pipe,
                text=True,
            )
            senders.append(stack.enter_context(sender))
        for sender in senders:
            assert sender.stdout is not None
            sender.stdout.readline()
        for sender in senders:
            assert sender.stdin is not None
            sender.stdin.write("\n")
            sender.stdin.flush()
        took = sum(float(json.loads(_output(sender))) for sender in senders)
    return Drained(rate=_rate(shop, count), cpu_ms=1000 * took / count)


def _rate(shop: Shop, count: int) -> float:
    seen = shop.api.summary()
    assert seen["events"] == seen["orders"] == count, "an order was sent twice"
    return (count - 1) / max(seen["last"] - seen["first"], 1e-6)


def _output(sender: subprocess.Popen[str]) -> str:
    assert sender.stdout is not None
    return sender.stdout.readline()
