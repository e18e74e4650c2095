"""Each benchmark runs, and its table says what it measured."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import line
from benchmarks.__main__ import NAMES
from benchmarks.command import beyond, unmeasured
from benchmarks.line import Line, spread
from benchmarks.peers.environment import requirements
from benchmarks.rounds import Measured, measure
from benchmarks.table import PAGE, PART, ROOT, table, write

if TYPE_CHECKING:
    from pathlib import Path

MODULES: dict[str, Any] = {it: import_module(f"benchmarks.{it}") for it in NAMES}

pytestmark = pytest.mark.skipif(
    not (ROOT / "connectly_tracking").is_dir(), reason="needs a checkout, not a wheel"
)


def test_a_small_run_measures_each_line() -> None:
    """.ci/run has the others, in their short form or a small one."""
    module = MODULES["post"]
    measured = measure(module, module.SMALL | {"database": "sqlite"}, rounds=1)
    assert unmeasured(module.LINES, measured) == []
    assert any("cores" in it for it in measured.machine)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_has_a_place_in_the_manual(name: str) -> None:
    assert PART.format(name).partition("\n")[0][1:] in PAGE.read_text()


def test_the_peers_are_named_with_a_version() -> None:
    ours, peers = requirements()
    assert {"procrastinate", "django-ox"} <= {
        it.split(">=")[0].split("[")[0] for it in peers
    }
    assert all(">=" in it for it in [*ours, *peers])


ROUNDS = [{"ours": 3.0, "theirs": 2.0}, {"ours": 4.0, "theirs": 2.0}]


def test_a_ratio_is_of_figures_of_one_round() -> None:
    ratio = Line(name="P0", of="ours", beside="theirs", unit="ms", goal=1.5)
    assert ratio.values(ROUNDS) == [1.5, 2.0]
    assert table([ratio], {"here": ROUNDS}).splitlines()[-1] == (
        "| P0 | 1.75x (1.50 to 2) | theirs: 2 ms | ≤ 1.50x: not reached |"
    )


def test_checkouts_have_a_column_each() -> None:
    figure = Line(name="P0", of="ours", unit="ms", goal=4)
    shown = table([figure], {"before": ROUNDS[1:], "after": ROUNDS[:1]})
    assert shown.splitlines() == [
        "| where | before | after | beside | goal |",
        "| --- | --- | --- | --- | --- |",
        "| P0 | 4 ms | 3 ms |  | ≤ 4 ms: reached |",
    ]


def test_many_rounds_are_shown_by_their_quartiles() -> None:
    figure = Line(name="P0", of="ours", unit="/s")
    rounds = [{"ours": float(value)} for value in (100, 110, 120, 130, 1000)]
    assert spread(figure, rounds) == "120/s (105 to 565)"


def test_what_was_not_measured_is_no_line_and_holds_no_bound() -> None:
    figure = Line(name="P0", of="missing", bound=1.0)
    assert len(table([figure], {"here": ROUNDS}).splitlines()) == 2
    measured = Measured(trees={"here": [*ROUNDS]})
    assert beyond([figure], measured) == ["P0, ≤ 1"]
    assert unmeasured([figure], measured) == ["P0"]


@pytest.mark.parametrize(
    ("bound", "is_least", "found"),
    [(3.5, False, []), (3.4, False, ["P0, ≤ 3.40"]), (3.6, True, ["P0, ≥ 3.60"])],
)
def test_a_bound_is_held(bound: float, is_least: bool, found: list[str]) -> None:
    figure = Line(name="P0", of="ours", bound=bound, is_least=is_least)
    assert beyond([figure], Measured(trees={"here": [*ROUNDS]})) == found


def test_a_table_is_put_in_its_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    parts = [f"<!-- measured: {name} -->\nold\n<!-- /measured -->\n" for name in "ab"]
    page.write_text("".join(parts))
    write("b", "new", page)
    assert page.read_text() == parts[0] + parts[1].replace("old\n", "\nnew\n\n")
    with pytest.raises(ValueError, match="0 places for c"):
        write("c", "new", page)


def test_numbers_have_three_digits() -> None:
    shown = [line.number(value) for value in (0.1234, 3.0, 12.34, 123.4, 12345.6)]
    assert shown == ["0.12", "3", "12.3", "123", "12,346"]
