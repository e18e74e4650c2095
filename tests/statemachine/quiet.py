"""If the API works, all orders must reach a final state, and soon."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING, Final

from connectly_tracking.models import State

from .actions import MAX_AGE, MAX_CRASHES, age_of
from .api import Behaviour
from .world import DAY, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .ledger import Row
    from .world import World

ROUNDS: Final = 400
#: The longest wait between two tries, a pause, and some leases.
SOON: Final = 10 * 3600.0
#: A row that causes internal errors may be tried so often.
LATE: Final = 5 * SOON


def come_to_rest(world: World, rounds: Sequence[Callable[[], None]]) -> None:
    """Let time pass until nothing is due, and everything flows.

    ``rounds`` are the workers': each finishes its batch and continues. A row that kills
    its worker or causes an internal error still does, and orders keep coming.
    """
    world.api.weather = Behaviour.CONFIRMS
    its_own_fault = {Behaviour.KILLS, Behaviour.BREAKS_US, Behaviour.REFUSES}
    world.curses = {
        order_id: curse
        for order_id, curse in world.curses.items()
        if curse in its_own_fault
    }
    for go_round in rounds:
        go_round()
    began = world.clock.now()
    sound = [row for row in world.ledger.live() if not world.is_cursed(row)]
    excused = {row.pk for row in sound if _is_excused(row, world)}
    for go_round in islice(cycle(rounds), ROUNDS):
        go_round()
        took = -world.clock.until(began)
        late = [row for row in sound if world.ledger.rows[row.pk].is_live]
        assert not late or took < SOON, f"still waiting: {late}"
        if not (world.ledger.live() or _paused(world)):
            break
        for alias in _paused(world):
            if not any(_is_sound_in(alias, row, world) for row in world.ledger.live()):
                world.record(Kind.PLAIN, alias)
        assert world.wait_for_next() or world.is_any_due, "nothing will happen"
    else:
        raise AssertionError(f"never at rest: {world.ledger.live()}")
    assert took < LATE, f"at rest after {took / DAY} days"
    for row in sound:
        end = world.ledger.rows[row.pk]
        assert end.state == State.DELIVERED or row.pk in excused, (row, end)


def _is_excused(row: Row, world: World) -> bool:
    """Whether the row may end without being delivered."""
    return (
        row.cancelled_at is not None
        or age_of(row, world.clock) + SOON > MAX_AGE
        or (row.is_left_behind and row.crashes >= MAX_CRASHES)
    )


def _paused(world: World) -> list[str]:
    return [fuse.pk for fuse in world.ledger.fuses.values() if fuse.is_paused]


def _is_sound_in(alias: str, row: Row, world: World) -> bool:
    return row.business == alias and not world.is_cursed(row)
