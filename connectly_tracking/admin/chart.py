"""The orders of each day as a drawing, without a script."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.utils.formats import date_format

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

    from ..reports.campaigns import CampaignRow
    from .figures import Days

HEIGHT: Final = 160
WIDTH: Final = 920
#: A longer period is drawn by weeks.
MAX_BARS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One day, or one week. Lengths are in units of the drawing."""

    name: str
    label: str
    x: float
    width: float
    confirmed: int
    waiting: int
    unreported: int
    scale: float

    @property
    def parts(self) -> list[tuple[str, float, float]]:
        """Kind, y and height, from the bottom up."""
        found, top = [], float(HEIGHT)
        for kind in ("confirmed", "waiting", "unreported"):
            height = getattr(self, kind) * self.scale
            if height:
                top -= height
                found.append((kind, round(top, 1), round(height, 1)))
        return found

    @property
    def middle(self) -> float:
        return round(self.x + self.width / 2, 1)


class Chart:
    """Bars of the orders with a click: confirmed, waiting, not reported."""

    width, height = WIDTH, HEIGHT

    def __init__(self, days: Days, rows: Mapping[str, CampaignRow]) -> None:
        self.days, self._rows = days, rows
        length = (days.last - days.first).days + 1
        self.step = 1 if length <= MAX_BARS else 7 * -(-length // (7 * MAX_BARS))
        counts = [*self._counts()]
        self.most = max((sum(found) for _day, found in counts), default=0)
        self.top = _round_up(self.most)
        room = WIDTH / max(len(counts), 1)
        every = -(-len(counts) // 8)
        self.bars = [
            Bar(
                name=date_format(day),
                label=date_format(day, "MONTH_DAY_FORMAT") if not n % every else "",
                x=round(n * room + room * 0.1, 1),
                width=round(min(room * 0.8, 60), 1),
                confirmed=found[0],
                waiting=found[1],
                unreported=found[2],
                scale=(HEIGHT - 8) / max(self.top, 1),
            )
            for n, (day, found) in enumerate(counts)
        ]

    @property
    def lines(self) -> list[tuple[int, float]]:
        """The value and the y of each line across."""
        values = [self.top, self.top // 2] if self.top > 1 else [self.top]
        scale = (HEIGHT - 8) / max(self.top, 1)
        return [(value, round(HEIGHT - value * scale, 1)) for value in values if value]

    def _counts(self) -> Iterator[tuple[date, tuple[int, int, int]]]:
        day = self.days.first
        while day <= self.days.last:
            found = [
                self._rows[key]
                for ahead in range(self.step)
                if (key := (day + timedelta(days=ahead)).isoformat()) in self._rows
            ]
            yield (
                day,
                (
                    sum(row.confirmed for row in found),
                    sum(row.waiting for row in found),
                    sum(count for row in found for count, _ in row.unreported.values()),
                ),
            )
            day += timedelta(days=self.step)


def _round_up(most: int) -> int:
    """Return an even, round number that is not less."""
    step = 1
    while most > 10 * step:
        step *= 10
    round_numbers = (n * step for n in (2, 3, 4, 5, 6, 8, 10))
    return next(n for n in round_numbers if n >= most and n % 2 == 0)
