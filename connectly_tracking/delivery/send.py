"""Posts a batch from a few threads over kept connections.

A process begins with one request at a time and grows as answers confirm (slow start): a
wrong key then costs one request, and a broken contract a handful of rows.
"""

from __future__ import annotations

import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from ..conf import conf
from ..verdicts import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..client import Client
    from ..verdicts import Verdict
    from .claim import Batch, Claimed

GROUP: Final = 16  # results that are settled together
PATIENCE: Final = 0.1  # seconds that a result waits for others


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one row. Times are UTC."""

    row: Claimed
    verdict: Verdict
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What is left of a batch: rows never sent, and the verdict that stopped it."""

    unsent: tuple[Claimed, ...]
    stopped_by: Verdict | None


class Windows:
    """How many requests may be under way, by business; grows from 1 to THREADS."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def size(self, business: str) -> int:
        return self._sizes.get(business, 1)

    def note(self, business: str, outcome: Outcome) -> None:
        if outcome == Outcome.CONFIRMED:
            self._sizes[business] = min(self.size(business) + 1, conf.THREADS)
        elif outcome == Outcome.CONFIGURATION:
            self._sizes.pop(business, None)


windows = Windows()
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def send(
    batch: Batch,
    client: Client,
    settle: Callable[[Sequence[Result]], None],
    *,
    stop: Callable[[], bool],
) -> Sent:
    """Post the rows; hand the results to ``settle`` in this thread, in small groups.

    No POST starts so late that it could outlive the lease.
    """
    threads = conf.THREADS
    last_start = batch.claimed_at + 0.9 * conf.LEASE - conf.DEADLINE
    pool, answers = _pool(threads), SimpleQueue[Result]()
    waiting, done = deque(batch.rows), list[Result]()
    flying, settle_at = 0, 0.0
    stopped_by: Verdict | None = None
    while True:
        while (
            waiting
            and flying < windows.size(batch.business)
            and flying + len(done) < 2 * threads
            and stopped_by is None
            and time.monotonic() < last_start
            and not stop()
        ):
            pool.submit(_post, client, waiting.popleft(), answers)
            flying += 1
        if not flying:
            break
        result = _next(answers, settle_at - time.monotonic() if done else None)
        if result is not None:
            flying -= 1
            settle_at = settle_at if done else time.monotonic() + PATIENCE
            done.append(result)
            windows.note(batch.business, result.verdict.outcome)
            if result.verdict.outcome == Outcome.CONFIGURATION:
                stopped_by = stopped_by or result.verdict
        if (
            result is None
            or len(done) >= GROUP
            or not flying
            or result.verdict.outcome != Outcome.CONFIRMED
        ):
            settle(done)
            done.clear()
    return Sent(unsent=tuple(waiting), stopped_by=stopped_by)


def _next(answers: SimpleQueue[Result], timeout: float | None) -> Result | None:
    try:
        return answers.get(timeout=None if timeout is None else max(timeout, 0))
    except Empty:
        return None


def _post(client: Client, row: Claimed, answers: SimpleQueue[Result]) -> None:
    started_at = datetime.now(UTC)
    verdict = client.post(row.body)
    answers.put(
        Result(
            row=row,
            verdict=verdict,
            started_at=started_at,
            finished_at=datetime.now(UTC),
        )
    )


def _pool(threads: int) -> ThreadPoolExecutor:
    """This process's threads, kept so that their connections are."""
    key = (os.getpid(), threads)
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads, thread_name_prefix="connectly-send")
    return _pools[key]
