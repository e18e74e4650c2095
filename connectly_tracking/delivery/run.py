"""Goes on until nothing is due or the time is spent."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from django.core.exceptions import ImproperlyConfigured
from django.db import router

from ..client import Client
from ..conf import conf
from ..models import Conversion, State
from .breaker import Breaker, circuits, fingerprint_of, take_probe
from .claim import Batch, claim, expire, is_any_due
from .send import send, windows
from .settle import Settled, release, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..conf import Business
    from .send import Result

RELEASED: Final = "released"

logger = logging.getLogger(__name__)


class Tally(Counter[str]):
    """How many rows went into which state; ``released`` were given back unsent."""

    @property
    def claimed(self) -> int:
        return self.total()

    def __str__(self) -> str:
        parts = [f"{state} {count}" for state, count in sorted(self.items()) if count]
        return f"claimed {self.claimed}" + "".join(f", {part}" for part in parts)


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
    businesses = _usable_businesses() if conf.SEND else {}
    rest = partial(_rest, limit, total)

    def is_over() -> bool:
        return stop() or (seconds is not None and time.monotonic() >= ends_at)

    has_roused, moves = False, True
    while moves and not stop() and is_any_due(businesses, using=using):
        moves = False
        for batch, breaker in _batches(businesses.values(), rest, using):
            if rouse and not has_roused and len(batch.rows) == conf.BATCH:
                rouse()
                has_roused = True
            tally = _work(batch, businesses[batch.business], breaker, stop, using)
            total.update(tally)
            # What was only given back would be taken again at once, for ever.
            moves |= tally.claimed > tally[RELEASED]
            if report:
                report(tally)
            if is_over():
                if rouse:
                    rouse()  # somebody else may go on
                return total
    return total


def _rest(limit: int | None, total: Tally) -> int:
    """How many rows the next batch may have."""
    return conf.BATCH if limit is None else min(conf.BATCH, limit - total.claimed)


def _batches(
    businesses: Iterable[Business], rest: Callable[[], int], using: str
) -> Iterator[tuple[Batch, Breaker]]:
    """A batch of each business that flows; of a paused one, a probe when it is time."""
    known = circuits(using=using)
    for business in businesses:
        alias, circuit = business.alias, known.get(business.alias)
        windows.heed(alias, circuit.changed_at if circuit else None)
        breaker = Breaker(
            business=alias,
            fingerprint=fingerprint_of(business, conf.BASE_URL),
            using=using,
        )
        size = rest()
        if circuit is not None and circuit.paused_until is not None:
            if gone := expire(alias, using=using):
                yield _ended(alias, gone), breaker
            if not is_any_due([alias], using=using) or not take_probe(
                circuit, breaker.fingerprint, using=using
            ):
                continue
            size = min(size, 1)
            breaker = replace(breaker, is_probe=True, probes=circuit.probes + 1)
        if size > 0 and (batch := claim(alias, size, lease=conf.LEASE, using=using)):
            yield batch, breaker


def _ended(alias: str, gone: Sequence[int]) -> Batch:
    """A batch of which nothing is to be sent."""
    ended = tuple((pk, State.EXPIRED) for pk in gone)
    return Batch(
        business=alias, token=uuid4(), claimed_at=time.monotonic(), ended=ended
    )


def _work(
    batch: Batch,
    business: Business,
    breaker: Breaker,
    stop: Callable[[], bool],
    using: str,
) -> Tally:
    settled = Settled()
    for pk, state in batch.ended:
        settled.note(pk, state)
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

    def write(results: Sequence[Result]) -> bool:
        wait = breaker.longest_wait
        settle(results, batch.token, settled, longest_wait=wait, using=using)
        return breaker.note([result.verdict for result in results])

    unsent = send(batch, client, write, stop=stop)
    tally = Tally(settled.states)
    if unsent:
        release(unsent, batch.token, using=using)
        tally[RELEASED] += len(unsent)
    # Last, since a listener may take its time while leases run.
    settled.tell(using=using)
    return tally


def _usable_businesses() -> dict[str, Business]:
    usable = {}
    for alias in conf.BUSINESSES:
        try:
            usable[alias] = conf.business(alias)
        except ImproperlyConfigured as exc:
            logger.warning("nothing_sent business=%s problem=%s", alias, exc)
    return usable
