"""Takes order by order to its row."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router, transaction
from django.db.models import QuerySet
from django.db.models.query import ModelIterable
from django.utils import timezone

from ..conf import conf
from ..exceptions import InvalidEvent
from ..models import Conversion, Reason
from ..outbox import record_order
from ..wakeup import wake
from .counts import Counts, Interrupted
from .entry import Entry
from .known import settled
from .pace import Pace
from .values import LineFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

CHUNK: Final = 500  # orders that are fetched, and looked up, at once

logger = logging.getLogger(__name__)


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
    on_failure: Callable[[str, str], None] | None = None,
    report: Callable[[Counts], None] | None = None,
) -> Counts:
    """Record what is missing of ``orders``, each in a transaction of its own.

    An order goes through ``ORDER_ADAPTER``; a Purchase, or a line of a `Table`, is
    taken as it is. What was placed before ``since``, or at ``until`` or later, is
    passed over, and of the first ``skip`` orders nothing is looked at. ``business`` and
    ``using`` are those of `outbox.record`. A dry run takes each order's every step and
    rolls it back.

    500 orders are read at a time, and those that have a row which nothing can change
    are found by one query. Of the others at most ``rate`` a second are recorded; None:
    as many as can be. Workers are woken once for the 500, and at the end. Once ``stop``
    says so, the order in hand is the last; what has come of them so far is returned.

    An order that fails is told to ``on_failure`` by its id and the kind of its error,
    and the others go on, as is one that is recorded as invalid; ``report`` is called
    after each.

    Raises Interrupted where the orders themselves break off or the database goes away,
    and ImproperlyConfigured where a setting would fail each of them.
    """
    run = _Run(
        span=(_seconds(since, float("-inf")), _seconds(until, float("inf"))),
        business=business,
        using=using or router.db_for_write(Conversion),
        dry_run=dry_run,
        pace=Pace(rate, stop=stop),
        stop=stop,
        on_failure=on_failure or (lambda _name, _kind: None),
        report=report or (lambda _counts: None),
    )
    return run.through(islice(_streamed(orders), skip, None))


class _Run:
    """One backfill, and what has come of it so far."""

    def __init__(
        self,
        *,
        span: tuple[float, float],
        business: str | None,
        using: str,
        dry_run: bool,
        pace: Pace,
        stop: Callable[[], bool],
        on_failure: Callable[[str, str], None],
        report: Callable[[Counts], None],
    ) -> None:
        self._begins_at, self._ends_at = span
        self._business, self._using, self._dry_run = business, using, dry_run
        self._pace, self._stop = pace, stop
        self._on_failure, self._report = on_failure, report
        self._counts, self._woken_for = Counts(), 0

    def through(self, orders: Iterator[Any]) -> Counts:
        is_over = False
        while not is_over and not self._stop():
            entries, broken, is_over = self._next(orders)
            try:
                self._take(entries)
            finally:
                self._wake()
            if broken:
                raise Interrupted(broken, self._counts) from broken
        return self._counts

    def _next(
        self, orders: Iterator[Any]
    ) -> tuple[list[Entry], Exception | None, bool]:
        """The next orders; what broke them off, if so; and whether they are all."""
        entries = list[Entry]()
        while len(entries) < self._pace.chunk(CHUNK) and not self._stop():
            try:
                entries.append(Entry(next(orders), self._using))
            except StopIteration:
                return entries, None, True
            except Exception as exc:  # noqa: BLE001 - raised after those before it
                return entries, exc, True
        return entries, None, False

    def _take(self, entries: list[Entry]) -> None:
        known = self._settled(entries)
        for entry in entries:
            if self._stop() or not self._count(entry, known):
                return
            self._counts.last = entry.name
            if entry.line is not None:
                self._counts.offset = entry.line.end
            self._report(self._counts)

    def _settled(self, entries: list[Entry]) -> set[str]:
        ids = [entry.ids for entry in entries if not entry.failure]
        try:
            return settled(ids, self._business, self._using) if ids else set()
        except ImproperlyConfigured:
            raise
        except Exception as exc:
            raise Interrupted(exc, self._counts) from exc

    def _count(self, entry: Entry, known: set[str]) -> bool:
        """Whether it was this order's turn: not so where the run is to stop."""
        try:
            if entry.failure:
                raise entry.failure
            if not self._is_wanted(entry.placed_at):
                self._counts.passed_over += 1
            elif entry.ids[0] in known:
                self._counts.known += 1
            elif not self._pace.wait():
                return False
            else:
                self._note(entry, self._recorded(entry))
        except ImproperlyConfigured:
            raise
        except Exception as exc:  # one bad order must not stop the others
            self._counts.failed += 1
            logger.debug("order_not_recorded order_id=%s", entry.name, exc_info=True)
            self._on_failure(entry.name, _kind(exc))
        return True

    def _is_wanted(self, placed_at: float) -> bool:
        return not placed_at or self._begins_at <= placed_at < self._ends_at

    def _note(self, entry: Entry, row: Conversion) -> None:
        self._counts.note(row, entry.before)
        if row.reason == Reason.INVALID:
            words = entry.fault or row.detail.partition(":")[0]
            self._on_failure(entry.name, f"skipped as invalid ({words})")

    def _recorded(self, entry: Entry) -> Conversion:
        source = entry.source(self._business)
        # Order by order, since one long transaction would hold the locks of the rows
        # that workers settle and checkouts insert.
        with transaction.atomic(using=self._using) if self._dry_run else nullcontext():
            row = record_order(
                entry,
                source,
                using=self._using,
                problem=entry.fault,
                is_backfill=True,
            )
            if self._dry_run:
                transaction.set_rollback(True, using=self._using)
        return row

    def _wake(self) -> None:
        due = self._counts.pending + self._counts.mended
        if due > self._woken_for and not self._dry_run and not conf.HOLD:
            transaction.on_commit(wake, using=self._using)
        self._woken_for = due


def _streamed(orders: Iterable[Any]) -> Iterator[Any]:
    if not isinstance(orders, QuerySet):
        return iter(orders)
    # Elsewhere the whole answer is kept in memory; and on SQLite a query that is still
    # open keeps the whole shop from writing.
    if connections[orders.db].vendor == "postgresql":
        return orders.iterator(chunk_size=CHUNK)
    return _paged(orders) if _can_be_paged(orders) else iter(orders)


def _paged(orders: QuerySet[Any]) -> Iterator[Any]:
    # Up to what is there now, or a slow run would never catch up with a busy shop.
    newest = orders.order_by("-pk").values_list("pk", flat=True).first()
    if newest is None:
        return
    ordered = orders.order_by("pk").filter(pk__lte=newest)
    page = list(ordered[:CHUNK])
    while page:
        yield from page
        page = list(ordered.filter(pk__gt=page[-1].pk)[:CHUNK])


def _can_be_paged(orders: QuerySet[Any]) -> bool:
    query = orders.query
    is_whole = not (query.is_sliced or query.combinator or query.distinct_fields)
    return is_whole and orders._iterable_class is ModelIterable


def _seconds(time: datetime | None, default: float) -> float:
    if time is None:
        return default
    return (timezone.make_aware(time) if timezone.is_naive(time) else time).timestamp()


def _kind(exc: Exception) -> str:
    """Not the error's own words, since a database may quote values in them."""
    if isinstance(exc, LineFault):
        return str(exc)
    field = f" ({exc.field})" if isinstance(exc, InvalidEvent) else ""
    return f"{type(exc).__name__}{field}"
