"""One line of a terminal, rewritten a few times a second."""

from __future__ import annotations

import io

from django.core.management.base import OutputWrapper

from connectly_tracking.management.progress import Progress


def shown(*, is_seen: bool, whole: int | None) -> str:
    """What a hundred orders leave behind, one in each tenth of a second."""
    terminal = io.StringIO()
    terminal.isatty = lambda: is_seen  # type: ignore[method-assign]
    now = 0.0
    progress = Progress(OutputWrapper(terminal), whole=whole, clock=lambda: now)
    for count in range(1, 101):
        now += 0.1
        progress.show(count, count * 10)
    progress.clear()
    return terminal.getvalue()


def test_a_terminal_sees_count_rate_and_share_and_is_left_clean() -> None:
    *lines, blank, end = shown(is_seen=True, whole=1000).split("\r")[1:]
    assert len(lines) == 33
    assert lines[0] == "3 orders, 10/s, 3 %"
    assert lines[-1] == "99 orders, 10/s, 99 %"
    assert (blank.strip(), end) == ("", "")


def test_where_nobody_knows_the_end_there_is_no_share() -> None:
    assert "%" not in shown(is_seen=True, whole=None)


def test_what_nobody_looks_at_is_not_written() -> None:
    assert shown(is_seen=False, whole=1000) == ""
