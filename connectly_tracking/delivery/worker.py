"""Claims, sends and settles until nothing is due or the time is spent."""

from __future__ import annotations

import math
import random
import sys
import time
from typing import TYPE_CHECKING, Final

from django.db import InterfaceError, OperationalError

from .breaker import Breaker
from .claim import Batch, claim, expire
from .memory import fruitless_expiries, windows
from .run import Run
from .send import Sending
from .settle import Settlement, Tally
from .tracing import traced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..api.client import Client
    from .run import Account
    from .send import Result

EXPIRY_INTERVAL: Final = 60.0  # seconds


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
    ``report`` after each batch.
    """
    run, total, has_help = Run.begin(), Tally(), False
    accounts = run.accounts() if run.settings.SEND else {}
    ends_at = time.monotonic() + (math.inf if seconds is None else seconds)
    while accounts and not stop() and run.is_any_due(accounts):
        moved = total.moved
        # In random order, so that no business is always the last.
        for account in random.sample(list(accounts.values()), len(accounts)):
            rest = sys.maxsize if limit is None else limit - total.claimed
            for batch, breaker in batches(run, account, rest):
                if not has_help and len(batch.rows) == run.settings.BATCH:
                    has_help = True
                    wake_another()
                tally, flows = _traced_work(batch, breaker, account.client, stop)
                total.update(tally)
                report(tally)
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
    circuit = run.circuits.filter(pk=alias).first()
    windows.note_pause(alias, circuit.changed_at if circuit else None)
    breaker = Breaker(run=run, business=alias, fingerprint=fingerprint)
    if circuit is None:
        yield from _claim(breaker, rest)
    elif circuit.paused_until is None:
        # If the business flows with other settings, ours must not pause it again.
        if circuit.fingerprint == fingerprint or not breaker.was_refused_lately():
            yield from _claim(breaker, rest)
    else:
        yield from _expire(breaker, rest)
        if rest > 0 and run.is_any_due([alias]):
            probe = breaker.claim_probe(circuit)
            if probe is not None:
                yield from _claim(probe, 1)


def _claim(breaker: Breaker, rest: int) -> Iterator[tuple[Batch, Breaker]]:
    """Retries once if the connection was lost, or in a deadlock (MariaDB)."""
    run, business, is_probe = breaker.run, breaker.business, breaker.is_probe
    size = min(run.settings.BATCH, rest)
    if size < 1:
        return
    try:
        batch = claim(run, business, size, least_tried=is_probe)
    except (InterfaceError, OperationalError):
        if run.connection.in_atomic_block:
            raise
        run.drop_lost_connection()
        batch = claim(run, business, size, least_tried=is_probe)
    if batch is not None:
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


def _traced_work(
    batch: Batch, breaker: Breaker, client: Client, stop: Callable[[], bool]
) -> tuple[Tally, bool]:
    attributes = {
        "connectly.business": batch.business,
        "connectly.rows": len(batch.rows),
        "connectly.is_probe": breaker.is_probe,
    }
    with traced("connectly.batch", attributes) as note:
        tally, flows = _work(batch, breaker, client, stop)
        note({f"connectly.{state}": count for state, count in tally.items()})
    return tally, flows


def _work(
    batch: Batch, breaker: Breaker, client: Client, stop: Callable[[], bool]
) -> tuple[Tally, bool]:
    """Send and settle a batch. Returns the counts, and whether the business flows."""
    settlement = Settlement(breaker.run, batch, longest_wait=breaker.longest_wait)
    sending, flows = Sending(batch, client, breaker.run.settings, stop), True
    try:
        for results in sending.groups():
            flows &= _write(results, breaker, settlement)
            if not flows:
                sending.close()
                windows.shrink(batch.business)
        settlement.write_busy()
        settlement.release(sending.unsent)
    finally:
        sending.close()
        # Last, since a listener may take its time while leases run.
        breaker.send_signals()
        settlement.send_signals()
    return settlement.tally, flows


def _write(results: Sequence[Result], breaker: Breaker, settlement: Settlement) -> bool:
    """Returns whether all could be written, and the business still flows."""
    verdicts = [it.verdict for it in results if breaker.is_probe or it.is_about_api]
    if results[-1].stops_all:
        # The pause first: no other worker sends while this one waits for its rows.
        flows = breaker.note(verdicts)
        written = settlement.write(results)
    else:
        written = settlement.write(results)
        flows = breaker.note(verdicts)
    return written and flows
