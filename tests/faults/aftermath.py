"""What came of a storm, in figures."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from connectly_tracking.conf import conf
from connectly_tracking.models import Conversion, DeliveryAttempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from tests.tools.chaos import Kill

    from .shop import Shop


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """``told`` are the orders that customers know of; all times are seconds.

    ``repeated`` is how many requests were sent again, and ``in_flight`` how many may
    have been under way at all kills together. ``recoveries`` are from each kill to the
    next event that is news to Connectly, ``waits`` from each order to its event.
    """

    told: list[str] = field(repr=False)
    orders: int
    lost: int
    altered: int
    repeated: int
    in_flight: int
    kills: int
    recoveries: list[float] = field(repr=False)
    waits: list[float] = field(repr=False)
    seconds: float

    @classmethod
    def of(
        cls, shop: Shop, told: list[str], kills: Sequence[Kill], *, seconds: float
    ) -> Self:
        recorded = dict(Conversion.objects.values_list("order_id", "recorded_at"))
        # Of several for one order the first is put in last, and stays.
        arrived = {
            str(event.order_id): event.received_at
            for event in reversed(shop.sandbox.events)
        }
        bodies = defaultdict[str | None, list[bytes]](list)
        for received in shop.sandbox.requests:
            bodies[received.order_id].append(received.body)
        return cls(
            told=told,
            orders=len(recorded),
            lost=len(recorded.keys() - arrived),
            altered=sum(len(set(sent)) > 1 for sent in bodies.values()),
            repeated=sum(len(sent) - 1 for sent in bodies.values()),
            in_flight=2 * conf.THREADS * sum(map(_senders, kills)) + _unanswered(),
            kills=sum(kill.whom != "rest" for kill in kills),
            recoveries=_recoveries(kills, arrived.values()),
            waits=[
                (arrived[number] - recorded_at).total_seconds()
                for number, recorded_at in recorded.items()
                if number in arrived
            ],
            seconds=seconds,
        )


def _senders(kill: Kill) -> int:
    """How many processes that deliver were killed: all but a worker's leader."""
    return len(kill.pids) - (kill.whom in {"tree", "leader"})


def _unanswered() -> int:
    """Requests that were given up for want of an answer, and not by a kill."""
    unknown = DeliveryAttempt.objects.filter(outcome=DeliveryAttempt.Outcome.UNKNOWN)
    return unknown.exclude(finished_at=None).count()


def _recoveries(kills: Sequence[Kill], arrivals: Iterable[datetime]) -> list[float]:
    times, found = sorted(arrivals), list[float]()
    for kill in kills:
        following = times[bisect_right(times, kill.at) :][:1]
        found += [(time - kill.at).total_seconds() for time in following]
    return found
