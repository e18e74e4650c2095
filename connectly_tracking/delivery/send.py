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

from ..api.verdicts import Outcome, Verdict
from ..conf import conf
from .breaker import STOPS
from .claim import Claimed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..api.client import Client
    from .claim import Batch

GROUP: Final = 16  # results that are settled together
PATIENCE: Final = 0.1  # seconds that a result waits for others


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one row. Times are UTC."""

    row: Claimed
    verdict: Verdict
    started_at: datetime
    finished_at: datetime

    @property
    def is_telling(self) -> bool:
        """Whether it says something of the API, and not of a row that always fails."""
        return self.verdict.outcome != Outcome.INTERNAL or not self.row.crashes


class Windows:
    """How many requests may be under way, by business; grows from 1 to THREADS."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._pauses: dict[str, datetime | None] = {}

    def clear(self) -> None:
        self._sizes.clear()
        self._pauses.clear()

    def size(self, business: str) -> int:
        return self._sizes.get(business, 1)

    def grow(self, business: str) -> None:
        self._sizes[business] = min(self.size(business) + 1, conf.THREADS)

    def shrink(self, business: str) -> None:
        self._sizes.pop(business, None)

    def heed(self, business: str, changed_at: datetime | None) -> None:
        """Begin with 1 again after any pause, also one that other workers saw."""
        if self._pauses.get(business) != changed_at:
            self.shrink(business)
        self._pauses[business] = changed_at


class _Gate:
    """Whether another request may start; asked by every thread before it sends."""

    def __init__(self, last_start: float) -> None:
        self._last_start = last_start

    def is_open(self) -> bool:
        return time.monotonic() < self._last_start

    def close(self) -> None:
        self._last_start = float("-inf")


windows = Windows()
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def send(
    batch: Batch,
    client: Client,
    settle: Callable[[Sequence[Result]], bool],
    *,
    stop: Callable[[], bool],
) -> tuple[Claimed, ...]:
    """Post the rows; hand the results to ``settle`` in this thread, in small groups.

    No POST starts so late that it could outlive the lease, and none after ``settle``
    said that the business does not flow. Returns the rows that were never sent.
    """
    gate = _Gate(batch.claimed_at + 0.9 * conf.LEASE - conf.DEADLINE)
    try:
        return _send(batch, client, gate, settle, stop)
    finally:
        gate.close()  # where this ends with an error, what is queued must not start


def _send(
    batch: Batch,
    client: Client,
    gate: _Gate,
    settle: Callable[[Sequence[Result]], bool],
    stop: Callable[[], bool],
) -> tuple[Claimed, ...]:
    threads = conf.THREADS
    pool, answers = _pool(threads), SimpleQueue[Result | Claimed]()
    waiting, unsent, done = deque(batch.rows), list[Claimed](), list[Result]()
    flying, settle_at = 0, 0.0
    while True:
        # Once at full width as many again queue up, so that no thread stands idle while
        # this one settles.
        width = windows.size(batch.business)
        room = 2 * threads - len(done) if 1 < width == threads else width
        if stop():
            gate.close()
        while waiting and flying < room and gate.is_open():
            pool.submit(_post, client, waiting.popleft(), gate, answers)
            flying += 1
        if not flying:
            return (*unsent, *waiting)
        answer = _next(answers, settle_at - time.monotonic() if done else None)
        if isinstance(answer, Result):
            settle_at = settle_at if done else time.monotonic() + PATIENCE
            done.append(answer)
            if answer.verdict.outcome == Outcome.CONFIRMED:
                windows.grow(batch.business)
            elif answer.verdict.outcome in STOPS:
                gate.close()
        elif answer is not None:
            unsent.append(answer)
        flying -= answer is not None
        if done and (_is_urgent(answer) or len(done) >= GROUP or not flying):
            if not settle(done):
                gate.close()
                windows.shrink(batch.business)
            done.clear()


def _is_urgent(answer: Result | Claimed | None) -> bool:
    """Whether the results so far must not wait: one failed, or waited long enough."""
    if isinstance(answer, Result):
        return answer.verdict.outcome != Outcome.CONFIRMED
    return answer is None


def _next(
    answers: SimpleQueue[Result | Claimed], timeout: float | None
) -> Result | Claimed | None:
    try:
        return answers.get(timeout=None if timeout is None else max(timeout, 0))
    except Empty:
        return None


def _post(
    client: Client,
    row: Claimed,
    gate: _Gate,
    answers: SimpleQueue[Result | Claimed],
) -> None:
    if not gate.is_open():
        answers.put(row)
        return
    started_at = datetime.now(UTC)
    try:
        verdict = client.post(row.body)
    except BaseException as exc:  # noqa: BLE001 - else its batch would wait for ever
        verdict = Verdict(outcome=Outcome.INTERNAL, detail=type(exc).__name__)
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
