"""Prints what was measured as a Markdown table, and writes it into the manual."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .line import spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .line import Line, Round

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs/operator/performance.md"
PART: Final = "(<!-- measured: {} -->\n)(.*?)(<!-- /measured -->)"


def table(lines: Sequence[Line], trees: Mapping[str, Sequence[Round]]) -> str:
    """A line for each that was measured, with a column for each checkout."""
    columns = list(trees) if len(trees) > 1 else ["measured"]
    rows = [["where", *columns, "beside", "goal"]]
    rows.append(["---"] * len(rows[0]))
    for line in lines:
        if any(line.values(rounds) for rounds in trees.values()):
            measured = [spread(line, rounds) for rounds in trees.values()]
            newest = list(trees.values())[-1]
            rows.append(
                [line.name, *measured, line.beside_text(newest), goal(line, newest)]
            )
    return "\n".join("| " + " | ".join(row).rstrip() + " |" for row in rows)


def goal(line: Line, rounds: Sequence[Round]) -> str:
    if line.goal is None:
        return ""
    reached = "reached" if line.is_within(line.goal, rounds) else "not reached"
    return f"{line.limited(line.goal)}: {reached}"


def write(name: str, text: str, page: Path = PAGE) -> None:
    """Put a table in its place on the page. Raises ValueError if it has none."""
    pattern = re.compile(PART.format(re.escape(name)), re.S)
    written, count = pattern.subn(
        lambda part: f"{part[1]}\n{text}\n\n{part[3]}", page.read_text()
    )
    if count != 1:
        raise ValueError(f"{page} has {count} places for {name}")
    page.write_text(written)
