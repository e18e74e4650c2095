"""Goes on until nothing is due or the time is spent."""

from __future__ import annotations

import logging
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured
from django.db import router

from ..client import Client
from ..conf import conf
from ..models import Conversion
from . import pause
from .claim import claim, is_any_due
from .send import send
from .settle import Settled, release, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..conf import Business
    from .claim import Batch

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
    total = Tally()
    ends_at = time.monotonic() + (float("inf") if seconds is None else seconds)
    using = router.db_for_write(Conversion)
    businesses = _usable_businesses() if conf.SEND else {}
    has_roused = False
    while businesses and not stop() and is_any_due(businesses, using=using):
        progress = 0
        for batch, is_probe in _claims(businesses, limit, total, using):
            if rouse and not has_roused and len(batch.rows) == conf.BATCH:
                rouse()
                has_roused = True
            tally = _work(batch, businesses[batch.business], is_probe, stop, using)
            total.update(tally)
            progress += tally.claimed
            if report:
                report(tally)
            if stop() or time.monotonic() >= ends_at:
                break
        if not progress:
            break
        if time.monotonic() >= ends_at:
            if rouse:
                rouse()
            break
    return total


def _claims(
    businesses: dict[str, Business], limit: int | None, total: Tally, using: str
) -> Iterator[tuple[Batch, bool]]:
    """A batch of each business that flows; of a paused one, a probe when it is time."""
    paused = pause.circuits(using=using)
    for alias, business in businesses.items():
        size = conf.BATCH if limit is None else min(conf.BATCH, limit - total.claimed)
        circuit = paused.get(alias)
        if circuit is not None:
            mark = pause.fingerprint_of(business, conf.BASE_URL)
            probes = pause.take_probe(circuit, mark, lease=conf.LEASE, using=using)
            size = min(size, 1) if probes else 0
        if size > 0 and (batch := claim(alias, size, lease=conf.LEASE, using=using)):
            yield batch, circuit is not None


def _work(
    batch: Batch,
    business: Business,
    is_probe: bool,
    stop: Callable[[], bool],
    using: str,
) -> Tally:
    settled = Settled()
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
    sent = send(
        batch,
        client,
        partial(settle, token=batch.token, settled=settled, using=using),
        stop=stop,
    )
    tally = Tally(settled.states)
    if sent.unsent:
        release(sent.unsent, batch.token, using=using)
        tally["released"] += len(sent.unsent)
    if sent.stopped_by:
        mark = pause.fingerprint_of(business, conf.BASE_URL)
        pause.pause(batch.business, sent.stopped_by, mark, using=using)
        logger.error(
            "delivery_paused business=%s status=%s",
            batch.business,
            sent.stopped_by.status_code,
        )
    elif is_probe and settled.has_answer:
        pause.resume(batch.business, using=using)
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
