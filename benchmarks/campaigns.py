"""P12: the campaign report over a million clicks: ``python -m benchmarks.campaigns``.

Beside what a person would type to see clicks, orders and revenue by campaign. One click
in ten has an order; they are spread over 90 days. ``--explain 1`` prints the plans.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from . import history
from .command import command
from .line import Line
from .shop import shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from .line import Round

ROUNDS: Final = 7
SMALL: Final = {"clicks": 2000}
PERIODS: Final = (1, 7, 30, history.DAYS)  # days
GROUPS: Final = ("campaign", "ad", "day", "page", "business")
DAYS: Final = 30
BY_HAND: Final = (
    "SELECT sendout_id, COUNT(*) FROM connectly_tracking_attribution"
    " WHERE captured_at >= %s AND captured_at < %s GROUP BY sendout_id",
    "SELECT sendout_id, state, reason, currency, cancelled_at IS NOT NULL, COUNT(*),"
    " SUM(value) FROM connectly_tracking_conversion WHERE event_name = 'Purchase'"
    " AND clicked_at IS NOT NULL AND event_time >= %s AND event_time < %s"
    " GROUP BY 1, 2, 3, 4, 5",
)

LINES: Final = (
    *(
        Line(
            name=f"P12 report of {days} days beside the SQL typed by hand",
            of=f"{days} days",
            beside=f"{days} days by hand",
            unit="ms",
            goal=1.5,
        )
        for days in PERIODS
    ),
    *(
        Line(
            name=f"P12 report of {DAYS} days by {group}",
            of=f"by {group}",
            unit="ms",
            goal=300,
        )
        for group in GROUPS
    ),
    Line(name="P12 every figure of the page, 30 days", of="detailed", unit="ms"),
)


@contextmanager
def subject(
    *, clicks: int = 1_000_000, explain: int = 0, database: str = "postgres"
) -> Iterator[Callable[[], Round]]:
    with shop(database):
        from django.utils import timezone

        from connectly_tracking.reports import campaigns
        from connectly_tracking.reports.campaigns import CampaignReport

        history.fill(clicks, clicks_an_order=10)
        until = timezone.now()
        ways: dict[str, Callable[[], Any]] = {}
        for days in PERIODS:
            period = until - timedelta(days=days), until
            ways[f"{days} days by hand"] = partial(_by_hand, *period)
            ways[f"{days} days"] = partial(_report, campaigns, *period)
        period = until - timedelta(days=DAYS), until
        for group in GROUPS:
            ways[f"by {group}"] = partial(_report, campaigns, *period, by=group)
        detailed = partial(CampaignReport(*period).rows, detailed=True)
        ways["detailed"] = lambda: list(detailed())
        if explain:
            print(*_plans(ways["detailed"]), sep="\n", file=sys.stderr)

        def measure() -> Round:
            return {name: _milliseconds(way) for name, way in ways.items()}

        measure()
        yield measure


def _by_hand(since: datetime, until: datetime) -> list[Any]:
    from django.db import connection

    found = []
    with connection.cursor() as cursor:
        for sql in BY_HAND:
            cursor.execute(sql, [since, until])
            found += cursor.fetchall()
    return found


def _report(campaigns: Any, since: datetime, until: datetime, **by: str) -> list[Any]:
    return list(campaigns(since, until, **by))


def _plans(action: Callable[[], object]) -> Iterator[str]:
    """Each statement, and how the database finds its rows."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    words = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN ANALYZE"
    with CaptureQueriesContext(connection) as queries:
        action()
    for sql in [query["sql"].strip() for query in queries]:
        if not sql.startswith(("SELECT", "WITH")):
            continue
        yield sql
        with connection.cursor() as cursor:
            cursor.execute(f"{words} {sql}")
            yield from (f"    {row[-1]}" for row in cursor.fetchall())


def _milliseconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    command("campaigns")
