"""Those who deliver: Celery workers, beat, and a broker of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .process import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .process import Process
    from .shop import Shop

PROCESSES: Final = 2  # of each worker's pool
TASK: Final = "connectly_tracking.deliver_due"

#: No stall of a busy machine reaches these; so what is sent again has another cause.
PATIENT: Final[dict[str, Any]] = {
    "LEASE": 30,
    "DEADLINE": 4,
    "READ_TIMEOUT": 3,
    "CONNECT_TIMEOUT": 3,
}


def hire(shop: Shop, *, workers: int = 1) -> list[Process]:
    """So many workers, ready, and beat. Returns the workers."""
    open_broker(shop)
    hired = [shop.worker(concurrency=PROCESSES) for _ in range(workers)]
    for worker in hired:
        worker.ready()
    shop.beat()
    return hired


def open_broker(shop: Shop) -> None:
    """So that what is ordered from now on wakes each process that is hired."""
    if shop.broker is None:
        shop.broker = shop.redis().url


def dismiss(crew: Sequence[Process]) -> None:
    """As a deploy does: each finishes what it has in hand."""
    for process in crew:
        process.ask_to_end()
    for process in crew:
        process.end(PATIENCE)


def await_polls(crew: Sequence[Process], count: int) -> None:
    """Until they have looked at the table so many times more."""

    def looked() -> int:
        return sum(process.said().count(f"Task {TASK}") for process in crew)

    before = looked()
    until(lambda: looked() >= before + 2 * count)  # received, and succeeded
