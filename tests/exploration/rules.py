"""What must hold in every state, and in every step. Each violation is a sentence."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from connectly_tracking.models import Reason, State

from .world import LEASE, MAX_AGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .world import Row, World

#: Between two statements of a claim, these make a row due.
_MAKE_DUE: Final = frozenset({"release", "settle", "note"})
_GIVEN_UP: Final = frozenset({State.REJECTED, State.EXPIRED, State.SKIPPED})


def broken_in(world: World) -> Iterator[str]:
    """The invariants of a state that do not hold."""
    hands = Counter(
        row.pk
        for worker in world.workers
        for row in worker.in_hand
        if world.now - row.claimed_at < LEASE
    )
    for pk, holders in hands.items():
        if holders > 1:
            yield f"row {pk} is in two hands"
    bodies = Counter(pk for pk, _body in world.received)
    for pk, count in bodies.items():
        if count > 1:
            yield f"row {pk} was sent with other bytes"
    for row in world.rows:
        if (row.due_at is not None) != row.is_live:
            yield f"row {row.pk} is neither due nor final, or both"
        if (row.lease_token is not None) != (row.state == State.SENDING):
            yield f"row {row.pk} has a lease and is not being sent, or the reverse"
        if row.state == State.DELIVERED and row.pk not in world.confirmed:
            yield f"row {row.pk} is delivered, and Connectly never confirmed it"
        if row.is_live and not row.body:
            yield f"row {row.pk} waits without bytes"


def broken_by(before: World, kinds: Sequence[str], after: World) -> Iterator[str]:
    """The rules for a step that were broken."""
    if len(after.rows) != len(before.rows):
        yield "an order is lost"
    for old, new in zip(before.rows, after.rows, strict=False):
        is_withdrawn = new.body == "" and new.reason == Reason.CONSENT_WITHDRAWN
        if old.body != new.body and not is_withdrawn:
            yield f"row {old.pk} has other bytes"
        if old.state == State.DELIVERED and new.state != State.DELIVERED:
            yield f"row {old.pk} is no longer delivered"
        if old.state in _GIVEN_UP and new.state != old.state:
            was_confirmed = new.state == State.DELIVERED and "settle" in kinds
            if not (was_confirmed or "replay" in kinds):
                yield f"row {old.pk} left a final state, and no person asked for it"
        if new.lease_token not in (None, old.lease_token):
            yield from _broken_by_claim(before, kinds, old)
        if new.state == State.EXPIRED and old.is_live and not _is_old(before, old):
            yield f"row {old.pk} expired before its time"


def _broken_by_claim(before: World, kinds: Sequence[str], row: Row) -> Iterator[str]:
    if "replay" in kinds:
        return  # a person made it due between two statements of the claim
    was_due = row.due_at is not None and row.due_at <= before.now
    if not (was_due or _MAKE_DUE & {*kinds}):
        yield f"row {row.pk} was claimed before it was due"
    if row.cancelled_at is not None:
        yield f"row {row.pk} was claimed although its order is cancelled"
    if row.reason == Reason.CONSENT_WITHDRAWN:
        yield f"row {row.pk} was claimed although consent was withdrawn"
    if _is_old(before, row):
        yield f"row {row.pk} was claimed although it is too old"


def _is_old(world: World, row: Row) -> bool:
    return world.now - row.age_from > MAX_AGE
