"""What came of a storm, in figures."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
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

#: A killed process's last bytes are read, and a result is written, so long after.
SLACK: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """``told`` are the orders that customers know of; all times are seconds.

    ``repeated`` is how many requests were sent again: ``killed`` since the process that
    sent them first was killed while it waited for the answer or wrote it down, ``cut``
    since no answer came in time, and ``unexplained`` names the orders of the others.
    ``in_flight`` is how many may have been under way at all kills together.
    ``recoveries`` are from each kill to the
    next event that is news to Connectly, ``waits`` from each order to its event.
    """

    told: list[str] = field(repr=False)
    orders: int
    lost: int
    altered: int
    repeated: int
    killed: int
    cut: int
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
        again = [received for requests in sent.values() for received in requests[:-1]]
        mysteries = [received for received in again if not _was_killed(received, kills)]
        cut, unexplained = _without_answer(mysteries)
        return cls(
            told=told,
            orders=len(recorded),
            lost=len(recorded.keys() - arrived),
            altered=sum(
                len({received.body for received in requests}) > 1
                for requests in sent.values()
            ),
            repeated=len(again),
            killed=len(again) - len(mysteries),
            cut=cut,
            unexplained=unexplained,
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


def _was_killed(received: Received, kills: Iterable[Kill]) -> bool:
    """Whether its process was killed before it can have written the answer down."""
    unsettled = timedelta(seconds=conf.DEADLINE) + SLACK
    return any(
        sender_of(received) in _ended_by(kill)
        and -SLACK <= kill.at - received.received_at <= unsettled
        for kill in kills
    )


def _ended_by(kill: Kill) -> tuple[int, ...]:
    """Celery asks the kernel to kill a pool's processes if their leader dies."""
    return kill.members if kill.whom == "leader" else kill.pids


def _without_answer(requests: Iterable[Received]) -> tuple[int, list[str]]:
    """How many of them were given up for want of an answer; the others' orders."""
    unknown = DeliveryAttempt.objects.filter(outcome=DeliveryAttempt.Outcome.UNKNOWN)
    given_up = Counter(
        unknown.exclude(finished_at=None).values_list("conversion__order_id", flat=True)
    )
    orders = Counter(str(received.order_id) for received in requests)
    unexplained = orders - given_up
    return (orders - unexplained).total(), sorted(unexplained.elements())


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
