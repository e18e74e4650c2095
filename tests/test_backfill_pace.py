"""No second sees more orders than it was told to, and nobody waits in vain."""

from __future__ import annotations

import pytest

from connectly_tracking.backfill.pace import NAP, Pace


class Clock:
    """Time passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 100.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def test_orders_go_one_gap_apart() -> None:
    clock = Clock()
    pace = Pace(4, stop=lambda: False, clock=clock, sleep=clock.sleep)
    times = [clock.now for _ in range(9) if pace.wait()]
    assert times == pytest.approx([100 + number / 4 for number in range(9)])


def test_who_was_late_is_not_hurried() -> None:
    clock = Clock()
    pace = Pace(10, stop=lambda: False, clock=clock, sleep=clock.sleep)
    pace.wait()
    clock.now += 60
    began = clock.now
    assert all(pace.wait() for _ in range(11))
    assert clock.now - began == pytest.approx(1)


def test_without_a_rate_nobody_sleeps() -> None:
    clock = Clock()
    pace = Pace(None, stop=lambda: False, clock=clock, sleep=clock.sleep)
    assert all(pace.wait() for _ in range(1000))
    assert clock.naps == []


def test_a_stop_ends_a_long_wait_after_a_nap() -> None:
    clock = Clock()
    pace = Pace(0.01, stop=lambda: bool(clock.naps), clock=clock, sleep=clock.sleep)
    assert pace.wait()
    assert not pace.wait()
    assert clock.naps == [NAP]
