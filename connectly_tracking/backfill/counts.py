"""What came of the orders."""

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
    """What came of the orders; ``skipped`` by the codes of the reasons.

    ``last`` names the order that came last; ``offset`` is where its line ends in a
    file, in bytes.
    """

    pending: int = 0
    mended: int = 0
    known: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    passed_over: int = 0
    failed: int = 0
    last: str = field(default="", compare=False)
    offset: int = field(default=0, compare=False)

    @property
    def total(self) -> int:
        return sum(count for count, _words in self._named())

    def __str__(self) -> str:
        """One line for each outcome."""
        return "\n".join(f"{count:>7} {words}" for count, words in self._named())

    def note(self, row: Conversion, before: dict[int, str]) -> None:
        """Count an order's row, given the states of the rows that it had before."""
        was = before.get(row.pk)
        if was == State.SKIPPED and row.state == State.PENDING:
            self.mended += 1
        elif was in {None, State.SKIPPED} and row.state == State.EXPIRED:
            self.skipped[Reason.EXPIRED] += 1
        elif was is not None:
            self.known += 1
        elif row.reason:
            self.skipped[row.reason] += 1
        else:
            self.pending += 1

    def _named(self) -> Iterator[tuple[int, str]]:
        yield self.pending, "new, pending"
        yield self.mended, "mended: skipped before, now pending"
        yield self.known, "already recorded"
        for code, count in sorted(self.skipped.items()):
            yield count, _words_of(Reason(code))
        yield self.passed_over, "passed over: placed too early or too late"
        yield self.failed, "failed"


class Interrupted(ConnectlyTrackingError):  # noqa: N818
    """The orders broke off; ``counts`` is what came of those before."""

    def __init__(self, error: Exception, counts: Counts) -> None:
        last = counts.last
        place = f"after order {last}" if last else "before the first order"
        # Of its own error the package knows that its words are safe to show.
        safe = isinstance(error, ConnectlyTrackingError)
        words = f"{type(error).__name__}: {error}" if safe else type(error).__name__
        super().__init__(f"The orders broke off {place}: {words}.")
        self.counts = counts


def _words_of(reason: Reason) -> str:
    kind = "" if reason == Reason.EXPIRED else "skipped, "
    return f"{kind}{reason}: {reason.label}"
