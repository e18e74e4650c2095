"""Records the orders that were never recorded, as their own signal would have."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.db import connections, router, transaction
from django.db.models import QuerySet
from django.utils import timezone

from .conf import conf
from .events import Purchase
from .exceptions import ConnectlyTrackingError, InvalidEvent
from .models import Conversion, Reason, State
from .outbox import Source, record_made
from .payload import legible, unix_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CHUNK: Final = 500  # orders that a queryset fetches at once

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Counts:
    """What came of the orders; ``skipped`` by the codes of the reasons."""

    pending: int = 0
    mended: int = 0
    known: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    passed_over: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return sum(count for count, _words in self._named())

    def __str__(self) -> str:
        """One line for each outcome."""
        return "\n".join(f"{count:>7} {words}" for count, words in self._named())

    def note(self, row: Conversion, before: dict[int, str]) -> None:
        """Count an order's row, given the states of the rows that it had before."""
        if row.pk in before:
            is_mended = before[row.pk] == State.SKIPPED and row.state == State.PENDING
            self.mended += is_mended
            self.known += not is_mended
        elif row.reason:
            self.skipped[row.reason] += 1
        else:
            self.pending += 1

    def _named(self) -> Iterator[tuple[int, str]]:
        yield self.pending, "new, pending"
        yield self.mended, "mended: skipped before, now pending"
        yield self.known, "already recorded"
        for code, count in sorted(self.skipped.items()):
            yield count, f"skipped, {code}: {Reason(code).label}"
        yield self.passed_over, "passed over: placed too late"
        yield self.failed, "failed"


class Interrupted(ConnectlyTrackingError):  # noqa: N818
    """The orders broke off; ``counts`` is what came of those before."""

    def __init__(self, error: Exception, counts: Counts, last: str) -> None:
        place = f"after order {last}" if last else "before the first order"
        super().__init__(f"The orders broke off {place}: {type(error).__name__}.")
        self.counts = counts


def backfill(
    orders: Iterable[Any],
    *,
    until: datetime | None = None,
    business: str | None = None,
    using: str | None = None,
    dry_run: bool = False,
    on_failure: Callable[[str, str], None] | None = None,
    report: Callable[[Counts], None] | None = None,
) -> Counts:
    """Record what is missing of ``orders``, each in a transaction of its own.

    An order goes through ``ORDER_ADAPTER``, a Purchase is taken as it is. What was
    placed at ``until`` or later is passed over. ``business`` and ``using`` are those of
    `outbox.record`. A dry run takes each order's every step and rolls it back.

    An order that fails is told to ``on_failure`` by its id and the kind of its error,
    and the others go on; ``report`` is called after each.

    Raises Interrupted where the orders themselves break off, and ImproperlyConfigured
    where a setting would fail each of them.
    """
    using = using or router.db_for_write(Conversion)
    ends_at = None if until is None else _aware(until).timestamp()
    counts, last, rest = Counts(), "", _streamed(orders)
    while True:
        try:
            order = next(rest)
        except StopIteration:
            return counts
        except Exception as exc:
            raise Interrupted(exc, counts, last) from exc
        entry = _Entry(order, ends_at, using)
        try:
            row = _recorded(entry, business, using, dry_run=dry_run)
        except _PassedOver:
            counts.passed_over += 1
        except ImproperlyConfigured:
            raise
        except Exception as exc:  # one bad order must not stop the others
            counts.failed += 1
            logger.debug("order_not_recorded order_id=%s", entry.name, exc_info=True)
            if on_failure:
                on_failure(entry.name, _kind(exc))
        else:
            counts.note(row, entry.before)
        last = entry.name
        if report:
            report(counts)


class _PassedOver(Exception):  # noqa: N818
    """Ends the savepoint of an order that was placed too late."""


class _Entry:
    """One order on its way to its row. ``before``: its rows' states until now."""

    def __init__(self, order: Any, ends_at: float | None, using: str) -> None:
        self.order = order
        self.before: dict[int, str] = {}
        self._event: Any = order if isinstance(order, Purchase) else None
        self._ends_at = ends_at
        self._using = using

    @property
    def name(self) -> str:
        """The order's id; where there is none to be had, its primary key."""
        order_id = legible(getattr(self._event, "order_id", None))
        return order_id or f"pk:{legible(getattr(self.order, 'pk', None)) or 'none'}"

    @property
    def user(self) -> Any:
        """The customer, where the order has one under that name."""
        try:
            user = getattr(self.order, "user", None)
        except ObjectDoesNotExist:
            return None
        return user if hasattr(user, "is_authenticated") else None

    def make(self) -> Any:
        """Called inside the savepoint, after the write lock of SQLite."""
        if self._event is None:
            self._event = _adapted(self.order)
        order_id = legible(getattr(self._event, "order_id", None))
        if not order_id:
            # Each run would make another row of it.
            raise InvalidEvent("order_id", "is missing")
        if self._ends_at is not None and _placed_at(self._event) >= self._ends_at:
            raise _PassedOver
        rows = Conversion.objects.using(self._using).filter(order_id=order_id)
        self.before = dict(rows.values_list("pk", "state"))
        return self._event


def _recorded(
    entry: _Entry, business: str | None, using: str, *, dry_run: bool
) -> Conversion:
    source = Source(order=entry.order, user=entry.user, business=business)
    # Order by order, since one long transaction would hold the locks of the rows that
    # workers settle and checkouts insert.
    with transaction.atomic(using=using) if dry_run else nullcontext():
        row = record_made(entry.make, source, using=using)
        if dry_run:
            transaction.set_rollback(True, using=using)
    return row


def _streamed(orders: Iterable[Any]) -> Iterator[Any]:
    # On SQLite a query that is still open keeps the whole shop from writing.
    if isinstance(orders, QuerySet) and connections[orders.db].vendor != "sqlite":
        return orders.iterator(chunk_size=CHUNK)
    return iter(orders)


def _adapted(order: object) -> object:
    adapter = conf.ORDER_ADAPTER
    if adapter is None:
        raise ImproperlyConfigured(
            "CONNECTLY_TRACKING['ORDER_ADAPTER'] is missing; name a function that "
            "makes a Purchase of an order, or yield Purchase objects."
        )
    return adapter(order)


def _placed_at(event: object) -> float:
    """Unix seconds; 0 for what is no time, since recording says so in words."""
    try:
        return unix_time(
            getattr(event, "event_time", None),
            now=datetime.now(UTC),
            zone=timezone.get_current_timezone(),
        )
    except InvalidEvent:
        return 0


def _kind(exc: Exception) -> str:
    """Not the error's own words, since a database may quote values in them."""
    field = f" ({exc.field})" if isinstance(exc, InvalidEvent) else ""
    return f"{type(exc).__name__}{field}"


def _aware(time: datetime) -> datetime:
    return timezone.make_aware(time) if timezone.is_naive(time) else time
