"""Takes order after order to its row, at a limited rate if asked, and counts them."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils import timezone

from ..conf import conf
from ..exceptions import ConnectlyTrackingError, InvalidEvent
from ..guard import traceback_of
from ..models import Conversion, EventName, Reason, State
from ..outbox import PaidOrder, record_order
from ..outbox.databases import database_for
from ..wakeup import wake
from .csvfile import InvalidLine
from .order import CHUNK, BackfillOrder, read_in_chunks, read_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

#: Seconds; a signal does not end a sleep, so none may be long.
NAP: Final = 0.2

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Counts:
    """How many orders had which outcome; ``skipped`` by the codes of the reasons.

    ``last`` names the order that came last; ``offset`` is the position in the file
    after its line, in bytes.
    """

    pending: int = 0
    updated: int = 0
    known: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    out_of_range: int = 0
    failed: int = 0
    last: str = field(default="", compare=False)
    offset: int = field(default=0, compare=False)

    @property
    def total(self) -> int:
        return sum(count for count, _label in self._labelled())

    @property
    def place(self) -> str:
        return f"after order {self.last}" if self.last else "before the first order"

    def __str__(self) -> str:
        """One line for each outcome."""
        return "\n".join(f"{count:>7} {label}" for count, label in self._labelled())

    def add(self, row: Conversion, *, before: str | None) -> None:
        """Count an order's row; ``before`` was its state, None if it is new."""
        if before == State.SKIPPED and row.state == State.PENDING:
            self.updated += 1
        elif before in {None, State.SKIPPED} and row.state == State.EXPIRED:
            self.skipped[Reason.EXPIRED] += 1
        elif before is not None:
            self.known += 1
        elif row.reason:
            self.skipped[row.reason] += 1
        else:
            self.pending += 1

    def _labelled(self) -> Iterator[tuple[int, str]]:
        yield self.pending, "new, pending"
        yield self.updated, "updated: skipped before, now pending"
        yield self.known, "already recorded"
        for code, count in sorted(self.skipped.items()):
            state = "" if code == Reason.EXPIRED else "skipped, "
            yield count, f"{state}{code}: {Reason(code).label}"
        yield self.out_of_range, "outside --since and --until"
        yield self.failed, "failed"


class Interrupted(ConnectlyTrackingError):  # noqa: N818
    """The backfill ended early; ``counts`` are the outcomes until then."""

    def __init__(self, error: Exception, counts: Counts) -> None:
        # Only our own errors are known to have messages that are safe to show.
        is_ours = isinstance(error, ConnectlyTrackingError)
        reason = f"{type(error).__name__}: {error}" if is_ours else type(error).__name__
        super().__init__(f"The backfill ended {counts.place}: {reason}.")
        self.counts = counts


def backfill(
    orders: Iterable[Any],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    business: str | None = None,
    using: str | None = None,
    dry_run: bool = False,
    skip: int = 0,
    rate: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_failure: Callable[[str, str], None] = lambda _name, _error: None,
    report: Callable[[Counts], None] = lambda _counts: None,
) -> Counts:
    """Record the orders that are not recorded yet, each in its own transaction.

    An order is passed to ``ORDER_ADAPTER``; a Purchase, or an order of a `CsvFile`, is
    taken as it is. The first ``skip`` orders are ignored, and so are those placed
    before ``since``, or at ``until`` or later. ``business`` and ``using`` are those of
    `outbox.record`. A dry run records each order and rolls it back.

    500 orders are read at a time, and one query finds those among them whose row is
    final. Of the others at most ``rate`` a second are recorded; None: no limit. Workers
    are woken once for the 500. When ``stop`` returns True, the current order is the
    last, and the counts so far are returned.

    An order that fails, or is recorded as invalid, is passed to ``on_failure`` (its id
    and the kind of its error), and the others are still recorded. ``report`` is called
    after each order.

    Raises Interrupted if reading the orders fails or the database goes away, and
    ImproperlyConfigured if a setting would make every order fail.
    """
    run = _Run(
        since=_seconds(since, float("-inf")),
        until=_seconds(until, float("inf")),
        business=business,
        using=database_for(using),
        dry_run=dry_run,
        limiter=RateLimiter(rate, stop=stop),
        stop=stop,
        on_failure=on_failure,
        report=report,
    )
    run.record_all(islice(read_in_chunks(orders), skip, None))
    return run.counts


class RateLimiter:
    """Lets at most ``rate`` orders a second through; None: no limit.

    A delay is not caught up with afterwards, so that no second sees more.
    """

    def __init__(
        self,
        rate: float | None,
        *,
        stop: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._stop, self._clock, self._sleep = stop, clock, sleep
        self._free_at = 0.0

    @property
    def chunk(self) -> int:
        """How many orders to read ahead: at most a second's, since a cancellation that
        comes after an order was read is missed.
        """
        return min(CHUNK, math.ceil(1 / self._gap)) if self._gap else CHUNK

    def wait(self) -> bool:
        """Sleep until it is the next order's turn; False if the run must stop."""
        while not self._stop():
            now = self._clock()
            if not self._gap or now >= self._free_at:
                self._free_at = now + self._gap
                return True
            self._sleep(min(self._free_at - now, NAP))
        return False


@dataclass(slots=True, kw_only=True)
class _Run:
    """One backfill. ``since`` and ``until`` are Unix seconds."""

    since: float
    until: float
    business: str | None
    using: str
    dry_run: bool
    limiter: RateLimiter
    stop: Callable[[], bool]
    on_failure: Callable[[str, str], None]
    report: Callable[[Counts], None]
    counts: Counts = field(default_factory=Counts)

    def record_all(self, orders: Iterator[Any]) -> None:
        while not self.stop():
            chunk, error = self._read(orders)
            before = self.counts.pending + self.counts.updated
            try:
                self._record_chunk(chunk)
            finally:
                if self.counts.pending + self.counts.updated > before:
                    self._wake()
            if error:
                raise Interrupted(error, self.counts) from error
            if not chunk:
                return

    def _read(
        self, orders: Iterator[Any]
    ) -> tuple[list[BackfillOrder], Exception | None]:
        """The next orders, and the error that ended them, if any."""
        chunk = list[BackfillOrder]()
        try:
            for order in islice(orders, self.limiter.chunk):
                chunk.append(read_order(order, self.using))
                if self.stop():
                    break
        except Exception as exc:  # noqa: BLE001 - raised after the orders before it
            return chunk, exc
        return chunk, None

    def _record_chunk(self, chunk: list[BackfillOrder]) -> None:
        try:
            final = self._final_keys([order for order in chunk if not order.failure])
        except ImproperlyConfigured:
            raise
        except Exception as exc:
            raise Interrupted(exc, self.counts) from exc
        for order in chunk:
            if self.stop() or not self._take(order, final):
                return
            self.counts.last, self.counts.offset = order.name, order.end
            self.report(self.counts)

    def _final_keys(self, chunk: list[BackfillOrder]) -> set[str]:
        """The keys of the orders whose row cannot change any more. One query."""
        aliases = list(conf.BUSINESSES) if self.business is None else [self.business]
        if len(aliases) > 1:
            return set()  # an order's click may lead to another business
        # By the id, which has an index; a collation may find other rows, too.
        rows = Conversion.objects.using(self.using).filter(
            event_name=EventName.PURCHASE,
            business__in=aliases,
            order_id__in=[order.order_id for order in chunk],
        )
        found = rows.only("key", "state", "reason", "cancelled_at")
        return {row.key for row in found if not row.is_replaceable}

    def _take(self, order: BackfillOrder, final: set[str]) -> bool:
        """Record an order and count it; False if the run stopped before its turn."""
        try:
            if order.failure:
                raise order.failure
            if order.placed_at and not self.since <= order.placed_at < self.until:
                self.counts.out_of_range += 1
            elif order.key in final:
                self.counts.known += 1
            elif self.limiter.wait():
                self._record(order)
            else:
                return False
        except ImproperlyConfigured:
            raise
        except Exception as exc:  # noqa: BLE001 - one must not stop the others
            self.counts.failed += 1
            logger.debug(
                "order_not_recorded order_id=%s\n%s", order.name, traceback_of(exc)
            )
            self.on_failure(order.name, _kind(exc))
        return True

    def _record(self, order: BackfillOrder) -> None:
        source = order.source(self.business)
        rows = Conversion.objects.using(self.using).filter(order_id=order.order_id)
        states = dict(rows.values_list("pk", "state"))
        # One by one, since one long transaction would hold the locks of the rows that
        # workers settle and checkouts insert.
        with transaction.atomic(using=self.using) if self.dry_run else nullcontext():
            row = record_order(
                PaidOrder(purchase=order.event),
                source,
                using=self.using,
                problem=order.problem,
                is_backfill=True,
            )
            if self.dry_run:
                transaction.set_rollback(True, using=self.using)
        self.counts.add(row, before=states.get(row.pk))
        if row.reason == Reason.INVALID:
            problem = order.problem or row.detail.partition(":")[0]
            self.on_failure(order.name, f"skipped as invalid ({problem})")

    def _wake(self) -> None:
        if not self.dry_run and not conf.HOLD:
            transaction.on_commit(wake, using=self.using)


def _seconds(time: datetime | None, default: float) -> float:
    if time is None:
        return default
    return (timezone.make_aware(time) if timezone.is_naive(time) else time).timestamp()


def _kind(error: Exception) -> str:
    """Not the error's own message, since a database may quote values in it."""
    if isinstance(error, InvalidLine):
        return str(error)
    field = f" ({error.field})" if isinstance(error, InvalidEvent) else ""
    return f"{type(error).__name__}{field}"
