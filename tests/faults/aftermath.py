"""What came of a storm, in figures."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Self

from connectly_tracking.conf import conf
from connectly_tracking.models import Conversion, DeliveryAttempt
from connectly_tracking.sandbox import Received

from .sender import sender_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from tests.tools.chaos import Kill

    from .shop import Shop

Outcome = DeliveryAttempt.Outcome

#: The last bytes of a process that was killed are read so long after.
SLACK: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """``told`` are the orders that customers know of; all times are seconds.

    ``repeated`` is how many requests were sent again: ``killed`` since the process that
    sent them first was killed before it had written the answer down, ``cut`` since no
    answer came in time, ``late`` since the process stood still until its lease was over
    and wrote the answer down then, and ``unexplained`` names the others. ``in_flight``
    is how many may have been under way at all kills together. ``recoveries`` are from
    each kill to the next event that is news to Connectly, ``waits`` from each order to
    its event.
    """

    told: list[str] = field(repr=False)
    orders: int
    lost: int
    altered: int
    repeated: int
    killed: int
    cut: int
    late: int
    unexplained: list[str]
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
        sent = defaultdict[str, list[Received]](list)
        for received in shop.sandbox.requests:
            sent[str(received.order_id)].append(received)
        again = [pair for requests in sent.values() for pair in pairwise(requests)]
        alive = [first for first, second in again if not _ended(first, second, kills)]
        answered, cut = _apart(alive, Outcome.UNKNOWN)
        unexplained, late = _apart(answered, Outcome.CONFIRMED)
        return cls(
            told=told,
            orders=len(recorded),
            lost=len(recorded.keys() - arrived),
            altered=sum(
                len({received.body for received in requests}) > 1
                for requests in sent.values()
            ),
            repeated=len(again),
            killed=len(again) - len(alive),
            cut=len(cut),
            late=len(late),
            unexplained=[_described(received) for received in unexplained],
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


def _ended(first: Received, second: Received, kills: Iterable[Kill]) -> bool:
    """Whether the process that sent the first was killed before the second came."""
    return any(
        sender_of(first) in _ended_by(kill)
        and first.received_at - SLACK <= kill.at <= second.received_at
        for kill in kills
    )


def _ended_by(kill: Kill) -> tuple[int, ...]:
    """Celery asks the kernel to kill a pool's processes if their leader dies."""
    return kill.members if kill.whom == "leader" else kill.pids


def _apart(
    requests: Iterable[Received], outcome: Outcome
) -> tuple[list[Received], list[Received]]:
    """Those without and those with an attempt that ended so, beside the order's last.

    Each attempt is of one request only.
    """
    attempts = DeliveryAttempt.objects.filter(
        outcome=outcome, finished_at__isnull=False
    )
    left = Counter(attempts.values_list("conversion__order_id", flat=True))
    if outcome == Outcome.CONFIRMED:
        left.subtract(left.keys())  # the last one
    without, found = list[Received](), list[Received]()
    for received in requests:
        order_id = str(received.order_id)
        (found if left[order_id] > 0 else without).append(received)
        left[order_id] -= 1
    return without, found


def _described(received: Received) -> str:
    process, at = sender_of(received), received.received_at
    return f"{received.order_id} by {process} at {at:%H:%M:%S.%f}"


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
