"""Writes down what came of the rows: each arrow only where the row is still ours."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from django.db import connections, transaction

from ..conf import conf
from ..models import Conversion, DeliveryAttempt, Reason, State, moment
from ..signals import conversion_delivered, conversion_failed
from ..verdicts import Outcome

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from uuid import UUID

    from django.dispatch import Signal

    from ..models import ConversionQuerySet
    from .claim import Claimed
    from .send import Result

JITTER: Final = 0.2
MAX_UNCONFIRMED: Final = 8

_FINISHED: Final = ("started_at", "finished_at", "outcome", "status_code", "detail")


def settle(
    results: Sequence[Result], token: UUID, tally: Counter[str], *, using: str
) -> None:
    """Settle a group of results in one transaction, then tell who listens."""
    delivered = [result.row.pk for result in results if _is_confirmed(result)]
    failed: list[int] = []
    with transaction.atomic(using=using):
        rows = Conversion.objects.using(using)
        if delivered:
            rows.filter(pk__in=delivered).mark_delivered()
            tally[State.DELIVERED] += len(delivered)
        for result in results:
            if not _is_confirmed(result):
                state = _settle_failure(result, rows.held_by(token))
                tally[state] += 1
                if state == State.REJECTED:
                    failed.append(result.row.pk)
        _finish_attempts(results, using)
    _tell(conversion_delivered, delivered, using)
    _tell(conversion_failed, failed, using)


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
    wait = schedule[min(attempts, len(schedule)) - 1]
    return wait * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


def _is_confirmed(result: Result) -> bool:
    return result.verdict.outcome == Outcome.CONFIRMED


def _settle_failure(result: Result, held: ConversionQuerySet) -> State:
    verdict, row = result.verdict, result.row
    mine = held.filter(pk=row.pk)
    match verdict.outcome:
        case Outcome.REFUSED:
            mine.mark_rejected(Reason.REFUSED)
            return State.REJECTED
        case Outcome.UNCONFIRMED if row.unconfirmed + 1 >= MAX_UNCONFIRMED:
            mine.mark_rejected(Reason.UNCONFIRMED)
            return State.REJECTED
        case Outcome.CONFIGURATION:
            mine.release()  # the attempt stays to be seen, but does not count
        case outcome:
            wait = max(retry_wait(row.attempts), verdict.wait or 0)
            bare = int(outcome == Outcome.UNCONFIRMED)
            mine.mark_pending(wait, unconfirmed=bare)
    return State.PENDING


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
