"""Goes on until nothing is due or the time is spent."""

from __future__ import annotations

import logging
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, connections, router

from ..api.client import Client
from ..conf import conf
from ..models import Conversion, State
from .breaker import (
    STOPS,
    Breaker,
    circuit_of,
    fingerprint_of,
    refused_lately,
    take_probe,
)
from .claim import Batch, claim, expire, is_any_due
from .send import send, windows
from .settle import Settled, release, settle, settle_busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..conf import Business
    from .send import Result

RELEASED: Final = "released"
EXPIRY_INTERVAL: Final = 60.0  # seconds

_READ_LATER: Final = (
    "BATCH",
    "LEASE",
    "MAX_EVENT_AGE",
    "PROBE_SCHEDULE",
    "RETRY_SCHEDULE",
    "THREADS",
)

logger = logging.getLogger(__name__)
#: When nothing was too old in a business that is paused (monotonic).
_looked_at: dict[str, float] = {}


class Tally(Counter[str]):
    """How many rows went into which state; ``released`` were given back unsent."""

    @property
    def claimed(self) -> int:
        return self.total()

    def __str__(self) -> str:
        parts = [f"{state} {count}" for state, count in sorted(self.items()) if count]
        return f"claimed {self.claimed}" + "".join(f", {part}" for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sender:
    """One business, ready to be sent for."""

    alias: str
    client: Client
    fingerprint: str

    @classmethod
    def of(cls, business: Business) -> _Sender:
        client = Client(
            base_url=conf.BASE_URL,
            business_id=business.business_id,
            key=business.api_key,
            connect_timeout=conf.CONNECT_TIMEOUT,
            read_timeout=conf.READ_TIMEOUT,
            deadline=conf.DEADLINE,
            proxies=conf.PROXIES,
            ca_bundle=conf.CA_BUNDLE,
        )
        fingerprint = fingerprint_of(business, conf.BASE_URL)
        return cls(alias=business.alias, client=client, fingerprint=fingerprint)


def deliver(
    *,
    limit: int | None = None,
    seconds: float | None = None,
    stop: Callable[[], bool] = bool,
    rouse: Callable[[], None] | None = None,
    report: Callable[[Tally], None] | None = None,
) -> Tally:
    """Send what is due. Returns the counts.

    At most ``limit`` rows; no new batch after so many ``seconds`` or once ``stop`` says
    so. ``rouse`` is called to get help from another worker, ``report`` after each
    batch.
    """
    total, ends_at = Tally(), time.monotonic() + (seconds or 0)
    using = router.db_for_write(Conversion)
    senders = _senders() if conf.SEND else {}

    def is_over() -> bool:
        return stop() or (seconds is not None and time.monotonic() >= ends_at)

    has_roused, moves = False, True
    while senders and moves and not stop() and is_any_due(senders, using=using):
        moves = False
        for alias in random.sample(list(senders), len(senders)):  # none is always last
            rest = sys.maxsize if limit is None else limit - total.claimed
            for batch, breaker in _batches(senders[alias], rest, using):
                if rouse and not has_roused and len(batch.rows) == conf.BATCH:
                    rouse()
                    has_roused = True
                tally, flows = _work(batch, senders[alias], breaker, stop, using)
                total.update(tally)
                # What was only given back would be taken again at once, for ever.
                moves |= tally.claimed > tally[RELEASED]
                if report:
                    report(tally)
                if not flows:
                    del senders[alias]  # whatever the database could note of it
            if is_over():
                if rouse:
                    rouse()  # somebody else may go on
                return total
    return total


def _batches(sender: _Sender, rest: int, using: str) -> Iterator[tuple[Batch, Breaker]]:
    """A batch of a business that flows; of a paused one, a probe when it is time."""
    alias, size = sender.alias, min(conf.BATCH, rest)
    circuit = circuit_of(alias, using=using)
    windows.heed(alias, circuit.changed_at if circuit else None)
    breaker = Breaker(business=alias, fingerprint=sender.fingerprint, using=using)
    if circuit is not None and circuit.paused_until is not None:
        if gone := _too_old(alias, rest, using):
            yield _ended(alias, gone), breaker
        may_probe = size > 0 and is_any_due([alias], using=using)
        if not (may_probe and take_probe(circuit, breaker.fingerprint, using=using)):
            return
        size = 1
        breaker = replace(breaker, is_probe=True, probes=circuit.probes + 1)
    elif (
        circuit is not None
        and circuit.fingerprint != sender.fingerprint
        and refused_lately(alias, sender.fingerprint)
    ):
        return  # others flow with other settings: do not pause them with these
    batch = _claimed(alias, size, breaker.is_probe, using) if size > 0 else None
    if batch:
        yield batch, breaker


def _claimed(alias: str, size: int, is_probe: bool, using: str) -> Batch | None:
    """Once more where the connection was lost, or a deadlock's victim (MariaDB)."""
    take = partial(
        claim, alias, size, lease=conf.LEASE, fresh_first=is_probe, using=using
    )
    try:
        return take()
    except (InterfaceError, OperationalError):
        if connections[using].in_atomic_block:
            raise
        connections[using].close_if_unusable_or_obsolete()
        return take()


def _too_old(alias: str, rest: int, using: str) -> list[int]:
    """What a paused business is rid of; looked for once a minute, since it reads all
    that waits, and every order wakes somebody.
    """
    now = time.monotonic()
    if rest < 1 or now < _looked_at.get(alias, -EXPIRY_INTERVAL) + EXPIRY_INTERVAL:
        return []
    gone = expire(alias, rest, using=using)
    if not gone:
        _looked_at[alias] = now
    return gone


def _ended(alias: str, gone: Sequence[int]) -> Batch:
    """A batch of which nothing is to be sent."""
    ended = tuple((pk, State.EXPIRED) for pk in gone)
    return Batch(
        business=alias, token=uuid4(), claimed_at=time.monotonic(), ended=ended
    )


def _work(
    batch: Batch,
    sender: _Sender,
    breaker: Breaker,
    stop: Callable[[], bool],
    using: str,
) -> tuple[Tally, bool]:
    """Send and settle a batch. Returns the counts, and whether the business flows."""
    settled, flows, wait = Settled(), True, breaker.longest_wait
    for pk, state in batch.ended:
        settled.note(pk, state)

    def write(results: Sequence[Result]) -> bool:
        nonlocal flows
        telling = [it.verdict for it in results if breaker.is_probe or it.is_telling]
        stops = any(verdict.outcome in STOPS for verdict in telling)
        if stops:  # the other workers, too; before this one waits to write it down
            flows &= breaker.note(telling)
        flows &= settle(results, batch.token, settled, longest_wait=wait, using=using)
        if not stops:
            flows &= breaker.note(telling)
        return flows

    try:
        unsent = send(batch, sender.client, write, stop=stop)
        settle_busy(batch.token, settled, longest_wait=wait, using=using)
        tally = Tally(settled.states)
        if unsent:
            release(unsent, batch.token, using=using)
            tally[RELEASED] += len(unsent)
    finally:
        # Last, since a listener may take its time while leases run.
        breaker.tell()
        settled.tell(using=using)
    return tally, flows


def _senders() -> dict[str, _Sender]:
    """Those businesses that can be sent for. A setting that is wrong is found here,
    where nothing has been taken yet.
    """
    try:
        for name in _READ_LATER:
            getattr(conf, name)
        aliases = list(conf.BUSINESSES)
    except ImproperlyConfigured as exc:
        logger.error("nothing_sent problem=%s", exc)
        return {}
    senders = {}
    for alias in aliases:
        try:
            senders[alias] = _Sender.of(conf.business(alias))
        except ImproperlyConfigured as exc:
            logger.warning("nothing_sent business=%s problem=%s", alias, exc)
    return senders
