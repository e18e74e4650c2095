"""No second sees more orders than the rate allows, and no wait outlasts a stop."""

from __future__ import annotations

import pytest

from connectly_tracking.backfill.run import NAP, RateLimiter


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
    limiter = RateLimiter(4, stop=lambda: False, clock=clock, sleep=clock.sleep)
    times = [clock.now for _ in range(9) if limiter.wait()]
    assert times == pytest.approx([100 + number / 4 for number in range(9)])


def test_who_was_late_is_not_hurried() -> None:
    clock = Clock()
    limiter = RateLimiter(10, stop=lambda: False, clock=clock, sleep=clock.sleep)
    limiter.wait()
    clock.now += 60
    began = clock.now
    assert all(limiter.wait() for _ in range(11))
    assert clock.now - began == pytest.approx(1)


def test_without_a_rate_nobody_sleeps() -> None:
    clock = Clock()
    limiter = RateLimiter(None, stop=lambda: False, clock=clock, sleep=clock.sleep)
    assert all(limiter.wait() for _ in range(1000))
    assert clock.naps == []


def test_a_stop_ends_a_long_wait_after_a_nap() -> None:
    clock = Clock()
    limiter = RateLimiter(
        0.01, stop=lambda: bool(clock.naps), clock=clock, sleep=clock.sleep
    )
    assert limiter.wait()
    assert not limiter.wait()
    assert clock.naps == [NAP]
