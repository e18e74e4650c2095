"""P10: a claim and an idle poll after a long history: ``python -m benchmarks.claim``.

Each round measures both at two sizes of the table. ``--most 10000000`` compares with
ten million orders.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Final

from . import history, rows
from .command import command
from .database import Copies
from .line import Line
from .shop import shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .line import Round

ROUNDS: Final = 7
SMALL: Final = {"least": 100, "most": 200, "times": 2}
CLAIMED: Final = 100
SIZES: Final = ("least", "most")

LINES: Final = (
    Line(name="P10 orders in the smaller table", of="rows least"),
    Line(name="P10 orders in the larger one", of="rows most"),
    Line(name="P10 a claim of 100, larger", of="claim most", unit="ms", goal=8.0),
    Line(
        name="P10 a claim of 100, beside the smaller",
        of="claim most",
        beside="claim least",
        unit="ms",
        goal=1.3,
    ),
    Line(name="P10 an idle poll, larger", of="poll most", unit="ms"),
    Line(
        name="P10 an idle poll, beside the smaller",
        of="poll most",
        beside="poll least",
        unit="ms",
        goal=1.3,
    ),
)


@contextmanager
def subject(
    *,
    least: int = 10_000,
    most: int = 1_000_000,
    times: int = 20,
    database: str = "postgres",
) -> Iterator[Callable[[], Round]]:
    with shop(database):
        copies, sizes = Copies(), {"least": least, "most": most}
        for name, size in sizes.items():
            copies.use(name)
            history.fill(size)

        def measure() -> Round:
            found = dict[str, float]()
            for name, size in sizes.items():
                copies.use(name)
                found[f"rows {name}"] = size
                found[f"poll {name}"] = _median(times, _poll)
                found[f"claim {name}"] = _claims(times)
            copies.use("")
            return found

        measure()
        yield measure


def _poll() -> None:
    from connectly_tracking.delivery.run import Run

    assert not Run.begin().is_any_due(["default"])


def _claims(times: int) -> float:
    """Claim so often, and delete what was claimed."""
    from connectly_tracking.delivery.claim import claim
    from connectly_tracking.delivery.run import Run
    from connectly_tracking.models import Conversion

    run = Run.begin()
    first = -1  # numbers that no order of the history has
    due = range(first, first - CLAIMED * times, -1)
    rows.record(due)

    def claim_some() -> None:
        batch = claim(run, "default", CLAIMED)
        assert batch is not None
        assert batch.size == CLAIMED

    took = _median(times, claim_some)
    Conversion.objects.filter(state="sending")._raw_delete("default")
    return took


def _median(times: int, action: Callable[[], object]) -> float:
    """Milliseconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        took.append(1000 * (time.perf_counter() - began))
    return median(took)


if __name__ == "__main__":
    command("claim")
