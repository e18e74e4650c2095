"""Posts a batch from a few threads over kept connections.

A process begins with one request at a time and sends more at once as answers confirm
(slow start): a wrong key then costs one request, and a broken contract a handful of
rows.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ..api.verdicts import Outcome, Verdict
from .claim import Claimed
from .run import windows
from .tracing import current_context, traced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from ..api.client import Client
    from ..conf import Conf
    from .claim import Batch

MAX_GROUP_SIZE: Final = 16  # results that are written together
MAX_GROUP_WAIT: Final = 0.1  # seconds that a result waits for others
#: Seconds until more rows are claimed while requests are under way. Twice as long after
#: each claim that finds none.
MORE_AFTER: Final = 0.025
MAX_MORE_AFTER: Final = 1.0

#: The answers that concern every event.
_STOPS: Final = frozenset({Outcome.CONFIGURATION, Outcome.THROTTLED})

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of sending one row. Times are by the database's clock."""

    row: Claimed
    verdict: Verdict
    started_at: datetime
    finished_at: datetime

    @property
    def is_confirmed(self) -> bool:
        return self.verdict.outcome == Outcome.CONFIRMED

    @property
    def is_about_api(self) -> bool:
        """Whether it says something about the API, and not only about the row."""
        return self.verdict.outcome != Outcome.INTERNAL or not self.row.crashes

    @property
    def stops_all(self) -> bool:
        """Whether no other request of the business may start."""
        return self.verdict.outcome in _STOPS


class Sending:
    """Sends a batch, and those that ``more`` returns while it is under way. Close it at
    the end, or queued requests may still start.

    No request starts so late that it could outlive the lease, and none after ``stop``
    returned True or an answer that concerns every event.
    """

    def __init__(
        self,
        batch: Batch,
        client: Client,
        settings: Conf,
        stop: Callable[[], bool],
        more: Callable[[], Batch | None] = lambda: None,
    ) -> None:
        self._business = batch.business
        self._client = client
        self._threads = settings.THREADS
        self._stop = stop
        self._more = more
        self._most = settings.BATCH
        self._starts_for = 0.9 * settings.LEASE - settings.DEADLINE
        self._is_closed = False
        self._answers = SimpleQueue[Result | Claimed]()
        self._waiting = deque(batch.rows)
        self._given_back = list[Claimed]()
        self._under_way = self._room = 0
        self._more_after = MORE_AFTER
        self._more_at = self._next_claim(batch)
        self._host = urlsplit(client.url).hostname or ""
        self._trace: Any = None

    @property
    def unsent(self) -> tuple[Claimed, ...]:
        return (*self._given_back, *self._waiting)

    def close(self) -> None:
        """Start no other request."""
        self._is_closed = True

    def groups(self) -> Iterator[list[Result]]:
        """Send the rows. Yields the results in small groups until none is under way.

        A group ends with the first result that is not a confirmation.
        """
        group, ends_at = list[Result](), 0.0
        self._trace = current_context()
        self._start_requests(len(group))
        while self._under_way:
            answer = self._next_answer(ends_at if group else math.inf)
            if isinstance(answer, Result):
                ends_at = ends_at if group else time.monotonic() + MAX_GROUP_WAIT
                group.append(answer)
            if group and (
                time.monotonic() >= ends_at  # they waited long enough
                or not group[-1].is_confirmed
                or len(group) >= MAX_GROUP_SIZE
                or not self._under_way
            ):
                yield group
                group = []
            self._start_requests(len(group))

    def _start_requests(self, unwritten: int) -> None:
        threads, size = self._threads, windows.size(self._business)
        # At full size as many again queue up, so that no thread is idle while results
        # are written.
        self._room = 2 * threads - unwritten if 1 < size == threads else size
        if self._stop():
            self.close()
        if self._wants_more and time.monotonic() >= self._more_at:
            batch = self._more()
            self._more_at = self._next_claim(batch)
            self._waiting.extend(batch.rows if batch else ())
        while (
            self._waiting
            and self._under_way < self._room
            and self._may_start(self._waiting[0])
        ):
            _pool(threads).submit(self._post, self._waiting.popleft())
            self._under_way += 1

    @property
    def _wants_more(self) -> bool:
        """So that no thread is idle, and no order waits for the answers to others."""
        is_idle = not self._waiting and 0 < self._under_way < self._room
        return is_idle and not self._is_closed

    def _next_claim(self, batch: Batch | None) -> float:
        """When to claim after this batch: after a full one, as soon as it is sent."""
        if batch is not None and batch.size >= self._most:
            return 0
        self._more_after = MORE_AFTER if batch else 2 * self._more_after
        return time.monotonic() + min(self._more_after, MAX_MORE_AFTER)

    def _next_answer(self, until: float) -> Result | Claimed | None:
        """Wait for a result, or for a row that was not sent. None: not in time."""
        if self._wants_more:
            until = min(until, self._more_at)
        wait = max(until - time.monotonic(), 0)
        try:
            answer = self._answers.get(timeout=None if wait == math.inf else wait)
        except Empty:
            return None
        self._under_way -= 1
        if isinstance(answer, Claimed):
            self._given_back.append(answer)
        elif answer.is_confirmed:
            windows.grow(self._business, self._threads)
        elif answer.stops_all:
            self.close()
        return answer

    def _may_start(self, row: Claimed) -> bool:
        """Asked by each thread, too, before it sends."""
        held_for = time.monotonic() - row.claimed_at
        return held_for < self._starts_for and not self._is_closed

    def _post(self, row: Claimed) -> None:
        if not self._may_start(row):
            self._answers.put(row)
            return
        started_at = self._time(row)
        try:
            verdict = self._send(row)
        except BaseException as exc:  # noqa: BLE001 - or the batch would wait forever
            verdict = Verdict(outcome=Outcome.INTERNAL, detail=type(exc).__name__)
        self._answers.put(
            Result(
                row=row,
                verdict=verdict,
                started_at=started_at,
                finished_at=self._time(row),
            )
        )

    def _send(self, row: Claimed) -> Verdict:
        attributes = {
            "http.request.method": "POST",
            "server.address": self._host,
            "connectly.conversion": row.pk,
            "connectly.attempts": row.attempts,
        }
        with traced("POST", attributes, parent=self._trace, is_request=True) as note:
            verdict = self._client.post(row.body)
            outcome = verdict.outcome.value
            answered: dict[str, Any] = {"connectly.outcome": outcome}
            if verdict.status_code is not None:
                answered["http.response.status_code"] = verdict.status_code
            note(
                answered, error="" if verdict.outcome == Outcome.CONFIRMED else outcome
            )
        return verdict

    def _time(self, row: Claimed) -> datetime:
        """The database's time, and never ahead of it: that of the claim, and what has
        passed since it was seen.
        """
        return row.read_at + timedelta(seconds=time.monotonic() - row.seen_at)


def _pool(threads: int) -> ThreadPoolExecutor:
    """This process's threads, kept so that their connections are."""
    key = (os.getpid(), threads)
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads, thread_name_prefix="connectly-send")
    return _pools[key]
