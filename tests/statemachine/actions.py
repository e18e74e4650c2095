"""The arrows between the states, written a second time: the changes each work may make.

They follow the table of states in the design and do not ask the product.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from connectly_tracking.api.verdicts import Outcome
from connectly_tracking.models import Reason, State

from .ledger import Fuse, Lease, Row

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from connectly_tracking.api.verdicts import Verdict
    from connectly_tracking.delivery.claim import Claimed
    from connectly_tracking.delivery.send import Result

    from .clock import Clock
    from .ledger import Ledger, Try

LEASE: Final = 120.0
DEADLINE: Final = 20.0
MAX_AGE: Final = 7 * 86400.0
MAX_CRASHES: Final = 5
MAX_UNCONFIRMED: Final = 8
MAX_FAILURES: Final = 5
MAX_REFUSALS: Final = 5
RETRIES: Final = (30, 60, 300, 900, 3600, 3 * 3600, 6 * 3600)
PROBES: Final = (30, 60, 120, 300)

_REPLACEABLE: Final = frozenset({Reason.NOT_ATTRIBUTED, Reason.INVALID})
_REPLAYABLE: Final = frozenset({State.REJECTED, State.EXPIRED, State.SKIPPED})
_ANSWERS: Final = frozenset({Outcome.CONFIRMED, Outcome.REFUSED})
_FAILURES: Final = frozenset(
    {
        Outcome.UNAVAILABLE,
        Outcome.NOT_SENT,
        Outcome.UNKNOWN,
        Outcome.UNCONFIRMED,
        Outcome.INTERNAL,
    }
)


def age_of(row: Row, clock: Clock) -> float:
    """Seconds since it was placed, or replayed."""
    times = [at for at in (row.event_time, row.replayed_at) if at is not None]
    return -clock.until(max(times))


def probe_wait(probes: int) -> float:
    """Seconds until the next probe, after so many in this pause."""
    return PROBES[min(probes, len(PROBES) - 1)]


@dataclass
class Action:
    """May change nothing, unless its own class says so."""

    ledger: Ledger

    def row(self, before: Row | None, after: Row) -> None:
        raise AssertionError(f"{self} made {after} of {before}")

    def fuse(self, before: Fuse | None, after: Fuse) -> None:
        raise AssertionError(f"{self} made {after} of {before}")

    def attempt(self, before: Try | None, after: Try | None) -> None:
        raise AssertionError(f"{self} made {after} of {before}")

    def done(self) -> None:
        """It ended without an error: check that it did all it must."""

    def is_in(self, at: datetime | None, least: float, most: float = 0) -> bool:
        """Whether a time is so many seconds from now, or that many to that many."""
        assert at is not None
        return least - 0.001 <= self.ledger.clock.until(at) <= max(least, most) + 0.001

    def is_over(self, at: datetime | None) -> bool:
        return at is not None and at <= self.ledger.clock.now()

    def is_too_old(self, row: Row) -> bool:
        return age_of(row, self.ledger.clock) > MAX_AGE


@dataclass
class Take(Action):
    """A look at a circuit, and a batch if it flows, or a probe if it is paused.

    ``fuse_seen``: as it was when the worker looked, at ``looked_at``.
    """

    business: str
    fuse_seen: Fuse | None
    looked_at: datetime
    fingerprint: str
    #: Whether other rows are under way.
    is_extra: bool = False
    taken: list[Row] = field(default_factory=list)
    #: Rows that another worker left behind, and those whose attempt it had not written.
    left: dict[int, Row] = field(default_factory=dict)
    tried: list[int] = field(default_factory=list)
    is_probe: bool = False

    def row(self, before: Row | None, after: Row) -> None:
        assert before is not None, after
        assert before.business == self.business, before
        assert before.is_live, before
        assert self.is_over(before.due_at), f"taken before it was due: {before}"
        assert not self.ledger.is_leased(before.pk), f"two have it: {before}"
        if before.is_left_behind:
            self.left[before.pk] = before
        match after.state:
            case State.SENDING:
                self._claimed(before, after)
            case State.SKIPPED:
                assert before.cancelled_at is not None, before
                self._ended(before, after, Reason.CANCELLED)
            case State.EXPIRED:
                assert self.is_too_old(before), before
                self._ended(before, after, Reason.EXPIRED)
            case State.REJECTED:
                assert before.is_left_behind, before
                assert before.crashes >= MAX_CRASHES, f"worn out too soon: {before}"
                self._ended(before, after, Reason.INTERNAL)
            case _:
                raise AssertionError(f"taken, {before} became {after}")

    def _claimed(self, before: Row, after: Row) -> None:
        assert before.cancelled_at is None, f"sent although cancelled: {before}"
        assert not self.is_too_old(before), f"sent although too old: {before}"
        assert after.lease_token not in (None, before.lease_token), after
        assert self.is_in(after.due_at, LEASE), after
        crashes = int(before.is_left_behind)
        assert before.crashes + crashes <= MAX_CRASHES, f"worn out, but sent: {before}"
        assert after == before._replace(
            state=State.SENDING,
            lease_token=after.lease_token,
            due_at=after.due_at,
            attempts=before.attempts + 1,
            crashes=before.crashes + crashes,
        ), (before, after)
        history = self.ledger.histories[after.pk]
        history.claims += 1
        assert after.lease_token is not None
        history.tokens.add(after.lease_token)
        until = self.ledger.clock.later(LEASE)
        history.lease = Lease(after.lease_token, until)
        self.taken.append(before)

    def _ended(self, before: Row, after: Row, reason: Reason) -> None:
        assert after == before._replace(
            state=after.state, reason=reason, due_at=None, lease_token=None
        ), (before, after)

    def fuse(self, before: Fuse | None, after: Fuse) -> None:
        assert before is not None, after
        assert before.pk == self.business, before
        assert before.is_paused, before
        is_new = before.fingerprint != self.fingerprint
        has_changed = is_new and before.reason != "throttled"
        assert self.is_over(before.paused_until) or has_changed, f"too soon: {before}"
        assert self.is_in(after.paused_until, 1.5 * DEADLINE), after
        assert after == before._replace(
            paused_until=after.paused_until,
            probes=before.probes + 1,
            fingerprint=self.fingerprint,
        ), (before, after)
        self.is_probe = True

    def attempt(self, before: Try | None, after: Try | None) -> None:
        assert before is None, before
        assert after is not None
        assert (after.outcome, after.finished_at) == (Outcome.UNKNOWN, None), after
        self.tried.append(after.conversion_id)
        history = self.ledger.histories[after.conversion_id]
        if self.left[after.conversion_id].lease_token in history.tokens:
            history.tries.add(after.pk)

    def done(self) -> None:
        assert sorted(self.tried) == sorted(self.left)
        suspects = [it for it in self.taken if it.is_left_behind or it.crashes]
        company = len(self.taken) + self.is_extra
        assert company <= 1 or not suspects, f"in company: {self.taken}"
        assert not (self.is_extra and self.is_probe), f"not a probe: {self.taken}"
        if self.fuse_seen is not None and self.fuse_seen.is_paused and self.taken:
            assert self.is_probe, f"paused, and taken: {self.taken}"
            assert len(self.taken) == 1, f"more than a probe: {self.taken}"
        if self.taken and self.business in self.ledger.silences:
            asked_at, until = self.ledger.silences[self.business]
            was_known = self.looked_at >= asked_at
            # A longer pause because of the settings replaces it, and one probe with
            # other settings may come at once.
            holds = self.fuse_seen is not None and self.fuse_seen.reason == "throttled"
            may = self.is_over(until) or (self.is_probe and not holds)
            assert not was_known or may, f"asked to wait: {self.taken}"


@dataclass
class Settle(Action):
    """The results of a batch, or some of them."""

    results: Sequence[Result]
    #: If this is a probe, its number in this pause; otherwise 0.
    probes: int
    moved: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._before = {it.row.pk: self.ledger.rows[it.row.pk] for it in self.results}

    def _result(self, row: Row) -> Result:
        """The one that decides. A row may have been claimed twice, and its first lease
        lost.
        """
        found = [it for it in self.results if it.row.pk == row.pk]
        assert found, f"not of this group: {row}"
        confirmed = [it for it in found if it.verdict.outcome == Outcome.CONFIRMED]
        held = [it for it in found if it.row.token == row.lease_token]
        return [*confirmed, *held, *found][0]

    def row(self, before: Row | None, after: Row) -> None:
        assert before is not None, after
        self.moved.add(before.pk)
        self._before[before.pk] = before  # another worker may have come between
        result = self._result(before)
        outcome = result.verdict.outcome
        if outcome == Outcome.CONFIRMED:
            expected = before._replace(
                state=State.DELIVERED,
                reason="",
                due_at=None,
                lease_token=None,
                delivered_at=after.delivered_at,
            )
        else:
            assert before.state == State.SENDING, before
            assert before.lease_token == result.row.token, f"not its own: {before}"
            expected = self._after_failure(before, after.due_at)
            if outcome == Outcome.CONFIGURATION:
                self.ledger.histories[before.pk].uncounted += 1
        assert after == expected, (before, after)

    def _after_failure(self, row: Row, due_at: datetime | None) -> Row:
        tries = row.attempts
        if row.replayed_at is not None:
            # A row that was given back unsent too late is counted, but is not a try.
            tries = len(self.ledger.histories[row.pk].tries) + 1
        wait = RETRIES[min(tries, len(RETRIES)) - 1]
        least, most = 0.8 * wait, 1.2 * wait
        if self.probes:
            # The next probe needs a row.
            longest = probe_wait(self.probes)
            least, most = min(least, longest), min(most, longest)
        verdict = self._result(row).verdict
        freed = row._replace(state=State.PENDING, lease_token=None, due_at=due_at)
        ended = row._replace(state=State.REJECTED, lease_token=None, due_at=None)
        match verdict.outcome:
            case Outcome.REFUSED:
                return ended._replace(reason=Reason.REFUSED)
            case Outcome.UNCONFIRMED:
                if row.unconfirmed + 1 >= MAX_UNCONFIRMED:
                    return ended._replace(reason=Reason.UNCONFIRMED)
                assert self.is_in(due_at, 0.8 * wait, 1.2 * wait), (row, due_at)
                return freed._replace(unconfirmed=row.unconfirmed + 1, crashes=0)
            case Outcome.INTERNAL:
                # During a probe everything may fail, and no row is the cause.
                crashes = row.crashes + (0 if self.probes else 1)
                if crashes >= MAX_CRASHES and not self.probes:
                    return ended._replace(reason=Reason.INTERNAL)
                assert self.is_in(due_at, least, most), (row, due_at)
                return freed._replace(crashes=crashes)
            case Outcome.CONFIGURATION:
                freed = freed._replace(attempts=row.attempts - 1)
                if self.probes:
                    assert self.is_in(due_at, 0), (row, due_at)
                    return freed
                if row.unconfirmed + 1 >= MAX_UNCONFIRMED:
                    return ended._replace(reason=Reason.UNCONFIRMED)
                again = min(row.unconfirmed, len(RETRIES))
                wait = RETRIES[again - 1] if again else 0
                assert self.is_in(due_at, 0.8 * wait, 1.2 * wait), (row, due_at)
                return freed._replace(unconfirmed=row.unconfirmed + 1)
            case Outcome.THROTTLED:
                assert self.is_in(due_at, verdict.wait or 0), (row, due_at)
                return freed._replace(crashes=0)
            case _:
                assert self.is_in(due_at, least, most), (row, due_at)
                return freed._replace(crashes=0)

    def attempt(self, before: Try | None, after: Try | None) -> None:
        assert after is not None, before
        result = next(
            (it for it in self.results if it.row.attempt_id == after.pk), None
        )
        if result is None:
            # A late confirmation takes the row from another worker.
            row = self._before[after.conversion_id]
            result = self._result(row)
            assert result.verdict.outcome == Outcome.CONFIRMED, (after, result)
            assert row.lease_token not in (None, result.row.token), after
            assert before is None, (before, after)
            assert (after.outcome, after.finished_at) == (Outcome.UNKNOWN, None), after
            return
        assert before is None or before.finished_at is None, (before, after)
        assert after.outcome == result.verdict.outcome, (after, result)
        history = self.ledger.histories[after.conversion_id]
        if after.outcome == Outcome.CONFIGURATION:
            history.tries.discard(after.pk)
        elif result.row.token in history.tokens:
            history.tries.add(after.pk)
        assert after.finished_at is not None, after

    def done(self) -> None:
        for pk, row in self._before.items():
            result = self._result(row)
            is_confirmed = result.verdict.outcome == Outcome.CONFIRMED
            is_held = row.lease_token == result.row.token
            must = row.state != State.DELIVERED if is_confirmed else is_held
            now = self.ledger.rows[pk]
            if must and pk not in self.moved:
                # Another worker may have come between, and have delivered or taken it.
                is_left = now.lease_token == result.row.token
                must = now.state != State.DELIVERED if is_confirmed else is_left
            assert (pk in self.moved) == must, f"settled wrongly: {result}"
        for result in self.results:
            assert self.ledger.tries[result.row.attempt_id].finished_at is not None


@dataclass
class Note(Action):
    """A group of answers changes the circuit of its business."""

    business: str
    fingerprint: str
    verdicts: Sequence[Verdict]
    probes: int

    def __post_init__(self) -> None:
        self._before = self.ledger.fuses.get(self.business)

    @property
    def outcome(self) -> Outcome | None:
        return self.verdicts[-1].outcome if self.verdicts else None

    def row(self, before: Row | None, after: Row) -> None:
        assert before is not None, after
        assert before.due_at is not None, before
        assert after.due_at is not None, after
        # Brought forward: a pause or its end overrules the row's own time.
        assert before.state == State.PENDING, before
        assert before.business == self.business, before
        assert before.attempts > 0, before
        assert not before.unconfirmed, before
        assert self.is_in(after.due_at, 0) or self.is_in(
            after.due_at, probe_wait(self.probes)
        ), after
        assert after.due_at < before.due_at, (before, after)
        assert after == before._replace(due_at=after.due_at), (before, after)

    def fuse(self, before: Fuse | None, after: Fuse) -> None:
        assert after.pk == self.business, after
        if before is not None and before.is_paused and not after.is_paused:
            assert self.probes, f"resumed without a probe: {before}"
            assert self.outcome in _ANSWERS, f"resumed without an answer: {before}"
            self.ledger.silences.pop(self.business, None)  # it has answered since

    def done(self) -> None:
        """Only if no other worker came between."""
        before = self._before or Fuse(self.business, None, "", 0, 0, 0, "")
        after = self.ledger.fuses.get(self.business, before)
        if not self.verdicts:  # they say nothing about the API
            assert after == before, (before, after)
            return
        failures, refusals = before.failures, before.refusals
        concerns = (Outcome.CONFIGURATION, Outcome.THROTTLED)
        concerns_all = self.outcome if self.outcome in concerns else None
        for verdict in [] if concerns_all else self.verdicts:
            if verdict.outcome in _FAILURES:
                failures += 1
            else:
                failures = 0
                refusals = refusals + 1 if verdict.outcome == Outcome.REFUSED else 0
        assert (after.failures, after.refusals) == (failures, refusals), after
        if concerns_all:
            wait = self.verdicts[-1].wait or PROBES[-1]
            self._paused(before, after, concerns_all.value, wait)
        elif refusals >= MAX_REFUSALS:
            self._paused(before, after, "refusals", PROBES[-1])
        elif failures >= MAX_FAILURES:
            self._paused(before, after, "unavailable", probe_wait(self.probes))
        elif self.probes and self.outcome in _ANSWERS:
            assert not after.is_paused, after
        elif self.probes and before.is_paused:
            # Without an answer there is nothing new about the reason.
            until = self.ledger.clock.later(probe_wait(self.probes))
            assert after == before._replace(
                paused_until=until, failures=failures, refusals=refusals
            ), (before, after)
        else:
            assert after.paused_until == before.paused_until, (before, after)

    def _paused(self, before: Fuse, after: Fuse, reason: str, wait: float) -> None:
        assert after.paused_until is not None, after
        until = self.ledger.clock.later(wait)
        if before.paused_until is not None and not self.probes:
            until = max(until, before.paused_until)
        assert after.paused_until == until, f"{before} became {after}, for {wait} s"
        if after.paused_until != before.paused_until:
            assert after.reason == reason, after
            assert after.fingerprint == self.fingerprint, after
        if not before.is_paused:
            assert after.probes == 0, after


@dataclass
class Release(Action):
    """Rows that were not sent are given back."""

    unsent: Sequence[Claimed]

    def __post_init__(self) -> None:
        rows = self.ledger.rows
        self._tries = {it.attempt_id for it in self.unsent}
        self._held = {
            it.pk for it in self.unsent if rows[it.pk].lease_token == it.token
        }

    def row(self, before: Row | None, after: Row) -> None:
        assert before is not None, after
        assert before.pk in self._held, before
        assert self.is_in(after.due_at, 0), after
        assert after == before._replace(
            state=State.PENDING,
            lease_token=None,
            due_at=after.due_at,
            attempts=before.attempts - 1,
        ), (before, after)
        self.ledger.histories[before.pk].uncounted += 1

    def attempt(self, before: Try | None, after: Try | None) -> None:
        assert before is not None, after
        assert after is None, after
        assert before.pk in self._tries, before
        self.ledger.histories[before.conversion_id].tries.discard(before.pk)

    def done(self) -> None:
        for pk in self._held:
            assert self.ledger.rows[pk].state == State.PENDING, self.ledger.rows[pk]
        assert not self.ledger.tries.keys() & self._tries


@dataclass
class Record(Action):
    """An order is completed. ``can_go``: it may be sent, in ``hold`` seconds."""

    order: tuple[str, str]
    can_go: bool
    hold: float

    def row(self, before: Row | None, after: Row) -> None:
        assert (after.business, after.order_id) == self.order, after
        if before is not None:
            assert before.state == State.SKIPPED, f"changed by a signal: {before}"
            assert before.reason in _REPLACEABLE, before
            assert before.cancelled_at is None, before
            assert after.body, after
        assert (after.attempts, after.crashes, after.unconfirmed) == (0, 0, 0), after
        assert after.cancelled_at is after.replayed_at is None, after
        if self.can_go:
            assert after.state == State.PENDING, after
            assert self.is_in(after.due_at, self.hold), after
        else:
            assert after.state == State.SKIPPED, after

    def done(self) -> None:
        row = self.ledger.row_of(self.order)
        assert row is not None
        if self.can_go and row.state == State.SKIPPED:
            assert row.reason not in _REPLACEABLE or row.cancelled_at is not None, row


@dataclass
class Cancel(Action):
    """An order is cancelled, in every business."""

    order_id: str

    def row(self, before: Row | None, after: Row) -> None:
        assert before is not None, after
        assert before.order_id == self.order_id, before
        expected = before._replace(cancelled_at=before.cancelled_at)
        if before.cancelled_at is None:
            expected = expected._replace(cancelled_at=after.cancelled_at)
        if before.state == State.PENDING:
            expected = expected._replace(
                state=State.SKIPPED, reason=Reason.CANCELLED, due_at=None
            )
        assert after == expected, (before, after)

    def done(self) -> None:
        for row in self.ledger.rows.values():
            if row.order_id == self.order_id:
                assert row.cancelled_at is not None, row
                assert row.state != State.PENDING, row


@dataclass
class Replay(Action):
    """A person sends it again."""

    pks: Collection[int]

    def __post_init__(self) -> None:
        rows = [self.ledger.rows[pk] for pk in self.pks]
        self.movable = {row.pk for row in rows if row.state in _REPLAYABLE and row.body}

    def row(self, before: Row | None, after: Row) -> None:
        assert before is not None, after
        assert before.pk in self.movable, before
        assert self.is_in(after.due_at, 0), after
        assert self.is_in(after.replayed_at, 0), after
        assert after == before._replace(
            state=State.PENDING,
            reason="",
            due_at=after.due_at,
            replayed_at=after.replayed_at,
            cancelled_at=None,
            unconfirmed=0,
            crashes=0,
        ), (before, after)
        self.ledger.histories[before.pk].tokens.clear()
        self.ledger.histories[before.pk].tries.clear()

    def done(self) -> None:
        for pk in self.movable:
            assert self.ledger.rows[pk].state == State.PENDING, self.ledger.rows[pk]
