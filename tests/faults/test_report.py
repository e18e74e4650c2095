"""The long runs' table, and its place in a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .report import has_place, table, write

if TYPE_CHECKING:
    from pathlib import Path

RUN: dict[str, Any] = {
    "server": "SQLite 3.40.1",
    "conditions": "none",
    "orders": 1000,
    "lost": 0,
    "altered": 0,
    "repeated": 7,
    "killed": 4,
    "cut": 1,
    "late": 1,
    "unexplained": ["1001"],
    "in_flight": 90,
    "kills": 40,
    "recoveries": [0.5, 0.25, 4],
    "waits": [1, 2],
    "seconds": 61.2,
}


def test_the_runs_on_a_database_are_one_column() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table([[RUN, RUN], [RUN | {"recoveries": []}]]).splitlines()[2:-2]
    ]
    assert rows == [
        ["orders committed", "2,000", "1,000"],
        ["orders lost", "0", "0"],
        ["orders sent with other bytes", "0", "0"],
        ["requests sent again", "14", "7"],
        ["… whose process was killed", "8", "4"],
        ["… that got no answer in time", "2", "1"],
        ["… whose process stood still past its lease", "2", "1"],
        ["… for another reason", "2", "1"],
        ["requests in flight at a kill, at most", "180", "90"],
        ["kills", "80", "40"],
        ["kill to next arrival, median", "0.50 s", ""],
        ["kill to next arrival, worst", "4.00 s", ""],
        ["order to its arrival, median", "1.50 s", "1.50 s"],
        ["order to its arrival, worst", "2.00 s", "2.00 s"],
        ["runs", "2", "1"],
        ["duration in all", "122 s", "61 s"],
    ]


def test_the_table_takes_the_place_of_what_is_between_the_markers(
    tmp_path: Path,
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- chaos -->\nold\n<!-- /chaos -->\nafter\n")
    write("| new |", page)
    write("| newer |", page)
    assert page.read_text() == (
        "before\n<!-- chaos -->\n\n| newer |\n\n<!-- /chaos -->\nafter\n"
    )


@pytest.mark.parametrize(
    "text", ["", "<!-- chaos -->", "<!-- /chaos --><!-- chaos -->", None]
)
def test_a_page_without_the_markers_has_no_place(
    tmp_path: Path, text: str | None
) -> None:
    page = tmp_path / "page.md"
    if text is not None:
        page.write_text(text)
    assert not has_place(page)
