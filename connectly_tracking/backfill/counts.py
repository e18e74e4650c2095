"""The outcomes of a backfill."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..exceptions import ConnectlyTrackingError
from ..models import Conversion, Reason, State

if TYPE_CHECKING:
    from collections.abc import Iterator


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
