"""Claims, sends and settles until nothing is due or the time is spent."""

from __future__ import annotations

import logging
import math
import random
import sys
import time
from typing import TYPE_CHECKING, Final

from django.db import Error, InterfaceError, OperationalError

from .breaker import Breaker
from .claim import Batch, claim, expire
from .run import Run, fruitless_expiries, windows
from .send import Sending
from .settle import Settlement, Tally
from .tracing import traced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from ..api.client import Client
    from .run import Account
    from .send import Result

EXPIRY_INTERVAL: Final = 60.0  # seconds
#: Seconds after which a batch is the last one, so that listeners hear of them all.
LONGEST_WORK: Final = 5.0

logger = logging.getLogger(__name__)


def deliver(
    *,
    limit: int | None = None,
    seconds: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    wake_another: Callable[[], None] = lambda: None,
    report: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Send due rows. Returns the counts.

    At most ``limit`` rows; no new batch after so many ``seconds`` or once ``stop``
    returns True. Calls ``wake_another`` if there is work for another worker, and
    ``report`` after each batch and those that were claimed while it was under way.
    """
    run, total, has_help = Run.begin(), Tally(), False
    accounts = run.accounts() if run.settings.SEND else {}
    ends_at = time.monotonic() + (math.inf if seconds is None else seconds)
    must_poll = len(accounts) > 1 or not run.claim_is_cheap
    while accounts and not stop() and (not must_poll or run.is_any_due(accounts)):
        moved, must_poll = total.moved, True  # most often, all is sent after one round
        # In random order, so that no business is always the last.
        for account in random.sample(list(accounts.values()), len(accounts)):
            rest = sys.maxsize if limit is None else limit - total.claimed
            for batch, breaker in batches(run, account, rest):
                if not has_help and len(batch.rows) == run.settings.BATCH:
                    has_help = True
                    wake_another()
                work = _Work(batch, breaker, account.client, rest, ends_at, stop)
                flows = work.do()
                total.update(work.tally)
                report(work.tally)
                if not flows:
                    del accounts[account.alias]  # even if no pause could be stored
            if stop() or time.monotonic() >= ends_at:
                wake_another()
                return total
        if total.moved == moved:
            break  # rows that were only given back would be claimed again forever
    return total


def batches(run: Run, account: Account, rest: int) -> Iterator[tuple[Batch, Breaker]]:
    """Claim at most ``rest`` rows of a business that flows. While it is paused, end old
    rows and claim a probe when it is time.
    """
    alias, fingerprint = account.alias, account.fingerprint
    breaker = Breaker(run=run, business=alias, fingerprint=fingerprint)
    if not breaker.was_refused_lately():
        batch = _claim(breaker, rest)
        if batch is None or not batch.is_paused:
            yield from _with(breaker, batch)
            return
    circuit = run.circuits.filter(pk=alias).first()
    if circuit is None or circuit.paused_until is None:
        # If the business flows with other settings, ours must not pause it again.
        is_ours = circuit is None or circuit.fingerprint == fingerprint
        if is_ours or not breaker.was_refused_lately():
            yield from _with(breaker, _claim(breaker, rest))
        return
    windows.note_pause(alias, circuit.changed_at)
    yield from _expire(breaker, rest)
    if rest > 0 and run.is_any_due([alias]):
        probe = breaker.begin_probe(circuit)
        if probe is not None:
            yield from _with(probe, _claim(probe, 1))


def claim_more(
    breaker: Breaker, rest: int, since: datetime | None = None
) -> Batch | None:
    """Claim at most ``rest`` rows while others are under way, of those that were due
    ``since`` then. Returns None if there are none, or if they cannot be claimed: what
    is under way comes first.
    """
    run, size = breaker.run, min(breaker.run.settings.BATCH, rest)
    if size < 1:
        return None
    try:
        if not run.claim_is_cheap and not run.is_any_due([breaker.business]):
            return None
        batch = claim(run, breaker.business, size, is_extra=True, since=since)
    except Error as exc:
        if run.connection.in_atomic_block:
            raise
        run.drop_lost_connection()
        logger.warning("nothing_claimed error=%s", type(exc).__name__)
        return None
    if batch is None or batch.is_paused:
        return None
    windows.note_pause(breaker.business, batch.changed_at)
    return batch


def _claim(breaker: Breaker, rest: int) -> Batch | None:
    """Retries once if the connection was lost, or in a deadlock (MariaDB)."""
    run, business, is_probe = breaker.run, breaker.business, breaker.is_probe
    size = min(run.settings.BATCH, rest)
    if size < 1:
        return None
    try:
        batch = claim(run, business, size, is_probe=is_probe)
    except (InterfaceError, OperationalError):
        if run.connection.in_atomic_block:
            raise
        run.drop_lost_connection()
        batch = claim(run, business, size, is_probe=is_probe)
    if batch is not None:
        windows.note_pause(business, batch.changed_at)
    return batch


def _with(breaker: Breaker, batch: Batch | None) -> Iterator[tuple[Batch, Breaker]]:
    if batch is not None and not batch.is_paused:
        yield batch, breaker


def _expire(breaker: Breaker, rest: int) -> Iterator[tuple[Batch, Breaker]]:
    """Once a minute at most if nothing is too old, since it reads all waiting rows."""
    if rest < 1 or fruitless_expiries.is_within(EXPIRY_INTERVAL, breaker.business):
        return
    batch = expire(breaker.run, breaker.business, rest)
    if batch is None:
        fruitless_expiries.note(breaker.business)
    else:
        yield batch, breaker


class _Work:
    """Sends and settles a batch, and those that are claimed while it is under way."""

    def __init__(
        self,
        batch: Batch,
        breaker: Breaker,
        client: Client,
        rest: int,
        ends_at: float,
        stop: Callable[[], bool],
    ) -> None:
        self._breaker = breaker
        self._stop = stop
        self._rest = rest - batch.size
        self._ends_at = min(ends_at, time.monotonic() + LONGEST_WORK)
        self._since = self._end_of(batch)
        # A row that may crash the worker, or tries a pause, is sent alone.
        self._is_alone = breaker.is_probe or any(row.may_crash for row in batch.rows)
        self._settlement = Settlement(
            breaker.run, batch, longest_wait=breaker.longest_wait
        )
        self._sending = Sending(
            batch, client, breaker.run.settings, stop, more=self._claim_more
        )

    @property
    def tally(self) -> Tally:
        return self._settlement.tally

    def do(self) -> bool:
        """Returns whether the business flows."""
        attributes = {
            "connectly.business": self._breaker.business,
            "connectly.is_probe": self._breaker.is_probe,
        }
        with traced("connectly.batch", attributes) as note:
            flows = self._send_and_settle()
            ended = {f"connectly.{state}": count for state, count in self.tally.items()}
            note({"connectly.rows": self.tally.claimed, **ended})
        return flows

    def _send_and_settle(self) -> bool:
        flows, sending, settlement = True, self._sending, self._settlement
        try:
            for results in sending.groups():
                flows &= self._write(results)
                if not flows:
                    sending.close()
                    windows.shrink(self._breaker.business)
            settlement.write_busy()
            settlement.release(sending.unsent)
        finally:
            sending.close()
            # Last, since a listener may take its time while leases run.
            self._breaker.send_signals()
            settlement.send_signals()
        return flows

    def _claim_more(self) -> Batch | None:
        if self._is_alone or self._stop() or time.monotonic() >= self._ends_at:
            return None
        batch = claim_more(self._breaker, self._rest, self._since)
        self._since = self._end_of(batch)
        if batch is not None:
            self._rest -= batch.size
            self._settlement.add(batch)
        return batch

    def _end_of(self, batch: Batch | None) -> datetime | None:
        """Where a backlog continues; None once its end was seen: then look at all."""
        is_full = batch is not None and batch.size >= self._breaker.run.settings.BATCH
        return batch.last_due_at if batch is not None and is_full else None

    def _write(self, results: Sequence[Result]) -> bool:
        """Returns whether all could be written, and the business still flows."""
        breaker, settlement = self._breaker, self._settlement
        verdicts = [it.verdict for it in results if breaker.is_probe or it.is_about_api]
        if results[-1].stops_all:
            # The pause first: no other worker sends while this one waits for its rows.
            flows = breaker.note(verdicts)
            return settlement.write(results) and flows
        if not settlement.write(results):
            breaker.note(verdicts)
            return False
        return settlement.is_calm or breaker.note(verdicts)
