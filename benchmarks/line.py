"""A line of a table: a figure of each round, beside another one, with its goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

#: What a round measured, by the figure's name.
Round = Mapping[str, float]

QUARTERS = 4


@dataclass(frozen=True, kw_only=True)
class Line:
    """``of``: a round's figure, divided by that ``beside`` it in the same round.

    ``goal``: the most that the median may be, or the least if ``is_least``. ``bound``:
    what the short form holds: a count exactly, a ratio with a wide margin.
    """

    name: str
    of: str
    beside: str = ""
    unit: str = ""
    goal: float | None = None
    bound: float | None = None
    is_least: bool = False

    def values(self, rounds: Sequence[Round]) -> list[float]:
        """The figure of each round; none if it was not measured."""
        names = {self.of, *filter(None, [self.beside])}
        return [
            it[self.of] / (it[self.beside] if self.beside else 1)
            for it in rounds
            if names <= it.keys()
        ]

    def is_within(self, limit: float | None, rounds: Sequence[Round]) -> bool:
        """Whether the median keeps to a goal or bound; if there is none, any does."""
        if limit is None:
            return True
        values = self.values(rounds)
        if not values:
            return False
        return (median(values) >= limit) if self.is_least else (median(values) <= limit)

    def limited(self, limit: float) -> str:
        """A goal or a bound, as text."""
        return f"{'≥' if self.is_least else '≤'} {self.text(limit)}"

    def text(self, value: float) -> str:
        """A value of it, as text; of one beside another, their ratio."""
        if self.beside:
            return f"{number(value)}x"
        return with_unit(value, self.unit)

    def beside_text(self, rounds: Sequence[Round]) -> str:
        """What it is divided by, and the median of that."""
        values = [it[self.beside] for it in rounds if self.beside in it]
        if not values:
            return ""
        return f"{self.beside}: {with_unit(median(values), self.unit)}"


def with_unit(value: float, unit: str) -> str:
    return f"{number(value)}{'' if unit == '/s' else ' '}{unit}".strip()


def spread(line: Line, rounds: Sequence[Round]) -> str:
    """The median; in brackets the quartiles, or the extremes of few rounds."""
    values = line.values(rounds)
    if not values:
        return "not measured"
    low, high = min(values), max(values)
    if len(values) >= QUARTERS:
        low, _, high = quantiles(values, n=QUARTERS)
    text = line.text(median(values))
    ends = [line.text(end) for end in (low, high)]
    if ends == [text, text]:
        return text
    return f"{text} ({number(low)} to {number(high)})"


def number(value: float) -> str:
    """Three digits, or a whole number."""
    if value == round(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
