"""Writes down the results of a batch. A failure changes only rows we still hold."""

from __future__ import annotations

import logging
import random
from collections import Counter
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from django.db import Error, InterfaceError, OperationalError

from ..api.verdicts import Outcome
from ..models import (
    Conversion,
    DeliveryAttempt,
    OfCircuit,
    Reason,
    State,
    can_write_at_once,
    write_confirmed,
)
from ..signals import conversion_delivered, conversion_failed
from .claim import MAX_CRASHES, write_unknown
from .send import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from ..models import ConversionQuerySet
    from .claim import Batch, Claimed
    from .run import Run

RELEASED: Final = "released"
JITTER: Final = 0.2
#: Answers that did not confirm the event, and pauses that it caused.
MAX_UNCONFIRMED: Final = 8
MAX_READ_AT_ONCE: Final = 500  # rows, for listeners
#: How often an event is sent again that Meta refused only for now.
MAX_TRANSIENT: Final = 3

_FINISHED: Final = ("started_at", "finished_at", "outcome", "status_code", "detail")
_SIGNALS: Final = {
    conversion_delivered: {State.DELIVERED},
    conversion_failed: {State.REJECTED, State.EXPIRED},
}

logger = logging.getLogger(__name__)


class Tally(Counter[str]):
    """How many rows reached which state; ``released`` rows were given back unsent."""

    @property
    def claimed(self) -> int:
        return self.total()

    @property
    def moved(self) -> int:
        return self.total() - self[RELEASED]

    def __str__(self) -> str:
        parts = [f"{state} {count}" for state, count in sorted(self.items()) if count]
        return f"claimed {self.claimed}" + "".join(f", {part}" for part in parts)


class _Locked(NamedTuple):
    """A row as it is when its result is written."""

    pk: int
    state: str
    lease_token: UUID | None
    #: Of the circuit; None if there is no row for it.
    trouble: int | None


class Settlement:
    """Writes down what became of a batch.

    A row that is tried again waits by the schedule, but no longer than ``longest_wait``
    seconds if that is given: then the batch is a probe, and its failures need not be
    the row's fault.
    """

    def __init__(
        self, run: Run, batch: Batch, *, longest_wait: float | None = None
    ) -> None:
        self._run = run
        self._business = batch.business
        self._longest_wait = longest_wait
        self._is_probe = longest_wait is not None
        #: The keys of the rows, and the states that they reached.
        self._reached: list[tuple[int, str]] = []
        self._busy = list[Result]()
        #: Whether the last group changes nothing about the circuit: it is written, has
        #: confirmations only, and saw no pause and no failure.
        self.is_calm = False
        self.add(batch)

    def add(self, batch: Batch) -> None:
        """Take in another batch of the business."""
        self._reached += batch.ended.items()

    @property
    def tally(self) -> Tally:
        return Tally(state for _pk, state in self._reached)

    def write(self, results: Sequence[Result]) -> bool:
        """Write a group at once. Returns whether all could be written.

        If the database refuses the group, each result is written by itself: one that
        cannot be written must not cause its neighbours to be sent again.
        """
        self.is_calm = all(result.is_confirmed for result in results)
        if len(results) > 1 and self._try(results) is None:
            return True
        written = [self._write_alone(result) for result in results]  # all, in any case
        return all(written)

    def write_busy(self) -> None:
        """Write the results of rows that another transaction held, such as a
        cancellation: last and one by one, since waiting for a row while holding others
        could end that transaction.
        """
        while self._busy:
            result = self._busy.pop()
            if error := self._try([result], skip=False):
                _log_lost(result, error)

    def release(self, rows: Sequence[Claimed]) -> None:
        """Give back rows that were never sent, as if they had not been claimed."""
        if not rows:
            return
        with self._run.atomic():
            for token, its_rows in groupby(rows, key=attrgetter("token")):
                held = self._run.conversions.held_by(token)
                held.filter(pk__in=[row.pk for row in its_rows]).release()
            attempts = [row.attempt_id for row in rows]
            self._run.attempts.filter(pk__in=attempts).delete()
        self._reached += [(row.pk, RELEASED) for row in rows]

    def send_signals(self) -> None:
        for signal, states in _SIGNALS.items():
            keys = [pk for pk, state in self._reached if state in states]
            if not signal.has_listeners(Conversion):
                continue
            for start in range(0, len(keys), MAX_READ_AT_ONCE):
                some = keys[start : start + MAX_READ_AT_ONCE]
                for conversion in self._run.conversions.filter(pk__in=some):
                    signal.send_robust(Conversion, conversion=conversion)

    def _write_alone(self, result: Result) -> bool:
        error = self._try([result])
        plain = replace(result, verdict=result.verdict.in_ascii())
        if error and plain != result:
            error = self._try([plain])  # a column may lack a character of the answer
        if isinstance(error, OperationalError | InterfaceError):
            error = self._try([plain])  # the connection was lost
        if error:
            # Its lease ends, and the same bytes are sent again.
            _log_lost(result, error)
        return error is None

    def _try(self, results: Sequence[Result], *, skip: bool = True) -> Error | None:
        try:
            self._write_group(results, skip=skip)
        except Error as exc:
            self.is_calm = False
            self._run.drop_lost_connection()
            return exc
        return None

    def _write_group(self, results: Sequence[Result], *, skip: bool) -> None:
        """With ``skip``, put aside the results of rows that others hold."""
        if skip and all(result.is_confirmed for result in results):
            results = self._write_confirmed(results)
        if not results:
            return
        rows, reached = self._run.conversions, list[tuple[int, State]]()
        with self._run.atomic():
            ours = rows.filter(pk__in=[result.row.pk for result in results])
            found = ours.order_by().locked(skip=skip)
            found = found.annotate(trouble=OfCircuit.trouble(self._business))
            columns = found.values_list(*_Locked._fields)
            locked = {row[0]: _Locked._make(row) for row in columns}
            free = [result for result in results if result.row.pk in locked]
            confirmed = {result.row.pk for result in free if result.is_confirmed}
            confirmed = {pk for pk in confirmed if locked[pk].state != State.DELIVERED}
            if confirmed:
                self._note_takeovers(free, locked)
                rows.filter(pk__in=confirmed).mark_delivered()
                reached += [(pk, State.DELIVERED) for pk in confirmed]
            for result in free:
                if not result.is_confirmed and (state := self._write_failure(result)):
                    reached.append((result.row.pk, state))
            if free:
                self._write_attempts(free)
        self.is_calm &= bool(locked) and not any(it.trouble for it in locked.values())
        self._reached += reached
        if skip:
            self._busy += [it for it in results if it.row.pk not in locked]

    def _write_confirmed(self, results: Sequence[Result]) -> Sequence[Result]:
        """Write those of rows that we hold, at once. Returns the others."""
        using = self._run.using
        if not can_write_at_once(using):
            return results
        written = write_confirmed(
            [_attempt(result) for result in results],
            [result.row.token for result in results],
            business=self._business,
            using=using,
        )
        self.is_calm &= not any(written.values())
        self._reached += [(pk, State.DELIVERED) for pk in written]
        return [result for result in results if result.row.pk not in written]

    def _note_takeovers(
        self, results: Sequence[Result], locked: dict[int, _Locked]
    ) -> None:
        """A late confirmation takes the row from the worker that has it now."""
        rows = [locked[it.row.pk] for it in results if it.is_confirmed]
        ours = {it.row.token for it in results}
        taken = [it.pk for it in rows if it.lease_token not in {*ours, None}]
        if taken:
            theirs = self._run.conversions.filter(pk__in=taken)
            write_unknown(self._run, theirs.values_list("pk", "lease_token", "due_at"))

    def _write_failure(self, result: Result) -> State | None:
        """Returns the row's new state, or None if it is no longer ours."""
        held = self._run.conversions.held_by(result.row.token).filter(pk=result.row.pk)
        if reason := self._final_reason(result):
            return State.REJECTED if held.mark_rejected(reason) else None
        return State.PENDING if self._try_again(held, result) else None

    def _final_reason(self, result: Result) -> Reason | None:
        """Why the row is not tried again, or None."""
        row, is_probe = result.row, self._is_probe
        is_last_try = row.unconfirmed + 1 >= MAX_UNCONFIRMED
        match result.verdict.outcome:
            case Outcome.REFUSED:
                return Reason.REFUSED
            case Outcome.TRANSIENT if self._refused_for_now(row) >= MAX_TRANSIENT:
                return Reason.REFUSED
            case Outcome.UNCONFIRMED if is_last_try:
                return Reason.UNCONFIRMED
            case Outcome.CONFIGURATION if is_last_try and not is_probe:
                # Other rows were answered in between: this one alone (by a firewall
                # that dislikes its content) pauses the business again and again.
                return Reason.UNCONFIRMED
            case Outcome.INTERNAL if row.crashes + 1 >= MAX_CRASHES and not is_probe:
                return Reason.INTERNAL
        return None

    def _try_again(self, held: ConversionQuerySet, result: Result) -> int:
        """Decide when it is sent again. Returns 0 if the row is no longer ours."""
        schedule, times = self._run.settings.RETRY_SCHEDULE, result.row.unconfirmed
        wait = retry_wait(schedule, self._tries(result.row))
        soon = wait if self._longest_wait is None else min(wait, self._longest_wait)
        match result.verdict.outcome:
            case Outcome.CONFIGURATION if self._is_probe:
                return held.release()  # the attempt stays visible, but does not count
            case Outcome.CONFIGURATION:
                again = retry_wait(schedule, times) if times else 0
                return held.release(again, unconfirmed=1)
            case Outcome.UNCONFIRMED:
                return held.mark_pending(wait, unconfirmed=1)
            case Outcome.INTERNAL:
                return held.mark_internal_error(soon, crashes=int(not self._is_probe))
            case Outcome.THROTTLED:
                return held.mark_pending(result.verdict.wait or 0)
            case _:
                return held.mark_pending(soon)

    def _tries(self, row: Claimed) -> int:
        """How often the row was tried, or how often since its replay."""
        if row.replayed_at is None:
            return row.attempts
        since = self._run.attempts.filter(
            conversion_id=row.pk, started_at__gte=row.replayed_at
        )
        counted = since.exclude(outcome=DeliveryAttempt.Outcome.CONFIGURATION)
        return counted.count() + 1  # with this one, which is not written yet

    def _refused_for_now(self, row: Claimed) -> int:
        """How often Meta refused it only for now, or how often since its replay."""
        refused = self._run.attempts.filter(
            conversion_id=row.pk, outcome=DeliveryAttempt.Outcome.TRANSIENT
        )
        if row.replayed_at is not None:
            refused = refused.filter(started_at__gte=row.replayed_at)
        return refused.count()

    def _write_attempts(self, results: Iterable[Result]) -> None:
        """Another worker may have written that a result is unknown."""
        by_target = self._run.connection.features.supports_update_conflicts_with_target
        self._run.attempts.bulk_create(
            [_attempt(result) for result in results],
            update_conflicts=True,
            unique_fields=["id"] if by_target else None,
            update_fields=_FINISHED,
        )


def _attempt(result: Result) -> DeliveryAttempt:
    return DeliveryAttempt(
        id=result.row.attempt_id,
        conversion_id=result.row.pk,
        started_at=result.started_at,
        finished_at=result.finished_at,
        outcome=result.verdict.outcome.value,
        status_code=result.verdict.status_code,
        detail=result.verdict.detail,
    )


def retry_wait(schedule: Sequence[float], tries: int) -> float:
    """Seconds until the next try after so many, varied so that tries spread out."""
    wait = schedule[min(max(tries, 1), len(schedule)) - 1]
    return wait * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


def _log_lost(result: Result, error: Error) -> None:
    name = type(error).__name__
    logger.error("result_not_settled conversion=%s error=%s", result.row.pk, name)
