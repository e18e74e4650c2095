"""Writes down what came of the rows: each arrow only where the row is still ours."""

from __future__ import annotations

import logging
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from django.db import (
    Error,
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)

from ..api.verdicts import Outcome
from ..conf import conf
from ..models import Conversion, DeliveryAttempt, Reason, State, moment
from ..signals import conversion_delivered, conversion_failed
from .claim import MAX_CRASHES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from django.dispatch import Signal

    from ..models import ConversionQuerySet
    from .claim import Claimed
    from .send import Result

JITTER: Final = 0.2
MAX_UNCONFIRMED: Final = 8

logger = logging.getLogger(__name__)

_FAILED: Final = frozenset({State.REJECTED, State.EXPIRED})
_FINISHED: Final = ("started_at", "finished_at", "outcome", "status_code", "detail")


@dataclass(slots=True)
class Settled:
    """What became of a batch so far."""

    states: Counter[str] = field(default_factory=Counter)
    delivered: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    busy: list[Result] = field(default_factory=list)

    def note(self, pk: int, state: State) -> None:
        self.states[state] += 1
        if state == State.DELIVERED:
            self.delivered.append(pk)
        elif state in _FAILED:
            self.failed.append(pk)

    def tell(self, *, using: str) -> None:
        """Let listeners know, whatever they do with it."""
        _tell(conversion_delivered, self.delivered, using)
        _tell(conversion_failed, self.failed, using)


def settle(
    results: Sequence[Result],
    token: UUID,
    settled: Settled,
    *,
    longest_wait: float | None = None,
    is_last: bool = False,
    using: str,
) -> bool:
    """Settle a group of results in one transaction. Whether all could be written.

    What is tried again waits by the schedule, and no longer than ``longest_wait``
    seconds. Where the database refuses the group, each by itself: one that cannot be
    written must not send its neighbours out again. Where its connection was lost, once
    more on a new one; that is the ``is_last`` time.
    """
    again = partial(
        settle, token=token, settled=settled, longest_wait=longest_wait, using=using
    )
    group = partial(_settle_group, token, settled, longest_wait, using)
    try:
        settled.busy += group(results, skip=True)
    except Error as exc:
        if not connections[using].in_atomic_block:
            connections[using].close_if_unusable_or_obsolete()
        if len(results) > 1:
            written = [again([result]) for result in results]  # each, whatever fails
            return all(written)
        plain = replace(results[0], verdict=results[0].verdict.in_ascii())
        if plain != results[0]:
            return again([plain], is_last=is_last)
        if isinstance(exc, OperationalError | InterfaceError) and not is_last:
            return again(results, is_last=True)
        # Its lease ends, and it is sent again with the same bytes.
        pk, error = results[0].row.pk, type(exc).__name__
        logger.error("result_not_settled conversion=%s error=%s", pk, error)
        return False
    return True


def settle_busy(
    token: UUID,
    settled: Settled,
    *,
    longest_wait: float | None = None,
    using: str,
) -> None:
    """Settle what a transaction of the shop's holds, a cancellation: last, and each by
    itself, since to wait for one row while holding others could end that transaction.
    """
    while settled.busy:
        result = settled.busy.pop()
        try:
            _settle_group(token, settled, longest_wait, using, [result], skip=False)
        except Error as exc:
            pk, error = result.row.pk, type(exc).__name__
            logger.error("result_not_settled conversion=%s error=%s", pk, error)


def _settle_group(
    token: UUID,
    settled: Settled,
    longest_wait: float | None,
    using: str,
    results: Sequence[Result],
    *,
    skip: bool,
) -> list[Result]:
    """Settle those whose rows are free. Returns the others, if it does not wait."""
    rows, reached = Conversion.objects.using(using), list[tuple[int, State]]()
    with transaction.atomic(using=using):
        ours = rows.filter(pk__in=[result.row.pk for result in results])
        known = dict(ours.order_by().locked(skip=skip).values_list("pk", "state"))
        free = [result for result in results if result.row.pk in known]
        fresh = [
            result.row.pk
            for result in free
            if _is_confirmed(result) and known[result.row.pk] != State.DELIVERED
        ]
        if fresh:
            rows.filter(pk__in=fresh).mark_delivered()
            reached += [(pk, State.DELIVERED) for pk in fresh]
        for result in free:
            if not _is_confirmed(result):
                state = _settle_failure(result, rows.held_by(token), longest_wait)
                reached += [(result.row.pk, state)] if state else []
        if free:
            _finish_attempts(free, using)
    for pk, state in reached:
        settled.note(pk, state)
    return [it for it in results if it.row.pk not in known] if skip else []


def release(rows: Sequence[Claimed], token: UUID, *, using: str) -> None:
    """Give back what was never sent, as if it had not been taken."""
    with transaction.atomic(using=using):
        held = Conversion.objects.using(using).held_by(token)
        held.filter(pk__in=[row.pk for row in rows]).release()
        attempts = DeliveryAttempt.objects.using(using)
        attempts.filter(pk__in=[row.attempt_id for row in rows]).delete()


def retry_wait(attempts: int) -> float:
    """Seconds until the next try after so many, varied so that tries spread out."""
    schedule = conf.RETRY_SCHEDULE
    wait = schedule[min(max(attempts, 1), len(schedule)) - 1]
    return wait * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


def _tries(row: Claimed, using: str) -> int:
    """How often it was tried; of what a person had sent again, since then."""
    if row.replayed_at is None:
        return row.attempts
    since = DeliveryAttempt.objects.using(using).filter(
        conversion_id=row.pk, started_at__gte=row.replayed_at
    )
    return since.exclude(outcome=DeliveryAttempt.Outcome.CONFIGURATION).count()


def _is_confirmed(result: Result) -> bool:
    return result.verdict.outcome == Outcome.CONFIRMED


def _settle_failure(
    result: Result, held: ConversionQuerySet, longest_wait: float | None
) -> State | None:
    """The state it reached; None where the row is no longer ours."""
    verdict, row = result.verdict, result.row
    mine, wait = held.filter(pk=row.pk), retry_wait(_tries(row, held.db))
    soon = wait if longest_wait is None else min(wait, longest_wait)
    match verdict.outcome:
        case Outcome.REFUSED:
            return State.REJECTED if mine.mark_rejected(Reason.REFUSED) else None
        case Outcome.UNCONFIRMED if row.unconfirmed + 1 >= MAX_UNCONFIRMED:
            return State.REJECTED if mine.mark_rejected(Reason.UNCONFIRMED) else None
        case Outcome.INTERNAL if (
            longest_wait is None and row.crashes + 1 >= MAX_CRASHES
        ):
            return State.REJECTED if mine.mark_rejected(Reason.INTERNAL) else None
        case Outcome.CONFIGURATION if longest_wait is not None:
            # The attempt stays to be seen, but does not count.
            moved = mine.release()
        case Outcome.CONFIGURATION if row.unconfirmed + 1 >= MAX_UNCONFIRMED:
            # All the others were answered in between: it is this one (a firewall's 403
            # for what its body says) that pauses the business again and again.
            return State.REJECTED if mine.mark_rejected(Reason.UNCONFIRMED) else None
        case Outcome.CONFIGURATION:
            times = row.unconfirmed
            moved = mine.release(retry_wait(times) if times else 0, unconfirmed=1)
        case Outcome.UNCONFIRMED:
            moved = mine.mark_pending(wait, unconfirmed=1)
        case Outcome.INTERNAL:
            # With a probe everything may fail, and no row be at fault.
            moved = mine.mark_broken(soon, crashes=int(longest_wait is None))
        case Outcome.THROTTLED:
            moved = mine.mark_pending(verdict.wait or 0)
        case _:
            moved = mine.mark_pending(soon)
    return State.PENDING if moved else None


def _finish_attempts(results: Sequence[Result], using: str) -> None:
    """Over the rows that the claim wrote: far cheaper than ``bulk_update``."""
    by_target = connections[using].features.supports_update_conflicts_with_target
    DeliveryAttempt.objects.using(using).bulk_create(
        [
            DeliveryAttempt(
                id=result.row.attempt_id,
                conversion_id=result.row.pk,
                started_at=moment(result.started_at.timestamp()),
                finished_at=moment(result.finished_at.timestamp()),
                outcome=result.verdict.outcome.value,
                status_code=result.verdict.status_code,
                detail=result.verdict.detail,
            )
            for result in results
        ],
        update_conflicts=True,
        unique_fields=["id"] if by_target else None,
        update_fields=_FINISHED,
    )


def _tell(signal: Signal, ids: Sequence[int], using: str) -> None:
    if ids and signal.has_listeners(Conversion):
        for conversion in Conversion.objects.using(using).filter(pk__in=ids):
            signal.send_robust(Conversion, conversion=conversion)
