"""The long runs' figures as a table, and its place in a page."""

from __future__ import annotations

from itertools import chain
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    #: Of one run: those of an `Aftermath`, and the server's name.
    Figures = Mapping[str, Any]

MARKERS: Final = ("<!-- chaos -->", "<!-- /chaos -->")


def table(databases: Sequence[Sequence[Figures]]) -> str:
    """One column for the runs on each. It is Markdown, and reads well as it is."""
    columns = [["", *_ROWS], *map(_column, databases)]
    widths = [max(map(len, column)) for column in columns]
    head, *lines = [_line(cells, widths) for cells in zip(*columns, strict=True)]
    rule = _line(["-" * width for width in widths], widths)
    conditions = databases[0][0]["conditions"]
    return "\n".join([head, rule, *lines, "", f"Under these conditions: {conditions}."])


def has_place(page: Path) -> bool:
    """Whether both markers are there, each once and in their order."""
    text = page.read_text() if page.is_file() else ""
    begin, end = (text.find(marker) for marker in MARKERS)
    return 0 <= begin < end and all(text.count(marker) == 1 for marker in MARKERS)


def write(table: str, page: Path) -> None:
    """Between the markers, instead of what is there."""
    begin, end = MARKERS
    before, _, rest = page.read_text().partition(begin)
    after = rest.partition(end)[2]
    page.write_text(f"{before}{begin}\n\n{table}\n\n{end}{after}")


_ROWS: Final = (
    "orders committed",
    "orders lost",
    "orders sent with other bytes",
    "requests sent again",
    "… whose process was killed",
    "… that got no answer in time",
    "… whose process stood still past its lease",
    "… for another reason",
    "requests in flight at a kill, at most",
    "kills",
    "kill to next arrival, median",
    "kill to next arrival, worst",
    "order to its arrival, median",
    "order to its arrival, worst",
    "runs",
    "duration in all",
)


def _column(runs: Sequence[Figures]) -> list[str]:
    def total(name: str) -> str:
        return f"{sum(run[name] for run in runs):,}"

    def times(name: str) -> list[str]:
        spans = list(chain.from_iterable(run[name] for run in runs))
        return [f"{measure(spans):.2f} s" if spans else "" for measure in (median, max)]

    return [
        runs[0]["server"],
        total("orders"),
        total("lost"),
        total("altered"),
        total("repeated"),
        total("killed"),
        total("cut"),
        total("late"),
        f"{sum(len(run['unexplained']) for run in runs):,}",
        total("in_flight"),
        total("kills"),
        *times("recoveries"),
        *times("waits"),
        f"{len(runs)}",
        f"{sum(run['seconds'] for run in runs):,.0f} s",
    ]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"
