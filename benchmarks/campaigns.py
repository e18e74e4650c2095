"""The campaign report over a million clicks: ``python -m benchmarks.campaigns``.

With ``postgres`` as the argument it runs on PostgreSQL. ``--clicks`` changes the size;
a tenth as many are orders. The clicks and orders are spread over 90 days.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from .database import database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

DAYS: Final = 90
RUNS: Final = 7
#: What a person would type to see clicks, orders and revenue by campaign.
BY_HAND: Final = (
    "SELECT sendout_id, COUNT(*) FROM connectly_tracking_attribution"
    " WHERE captured_at >= %s AND captured_at < %s GROUP BY sendout_id",
    "SELECT sendout_id, state, reason, currency, cancelled_at IS NOT NULL, COUNT(*),"
    " SUM(value) FROM connectly_tracking_conversion WHERE event_name = 'Purchase'"
    " AND clicked_at IS NOT NULL AND event_time >= %s AND event_time < %s"
    " GROUP BY 1, 2, 3, 4, 5",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.campaigns", description=__doc__
    )
    parser.add_argument("database", nargs="?", default="sqlite")
    parser.add_argument("--clicks", type=int, default=1_000_000)
    parser.add_argument("--explain", action="store_true")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="connectly-bench-") as name,
        database(Path(name), postgres=arguments.database == "postgres"),
    ):
        fill(arguments.clicks)
        measure(explain=arguments.explain)


def fill(clicks: int) -> None:
    """Insert clicks, and for every tenth an order."""
    from django.db import connection

    sql = _SQLITE if connection.vendor == "sqlite" else _POSTGRES
    with connection.cursor() as cursor:
        for statement in sql:
            cursor.execute(statement.format(clicks=clicks, days=DAYS))
        cursor.execute("ANALYZE")


def measure(*, explain: bool) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    from connectly_tracking.reports import campaigns
    from connectly_tracking.reports.campaigns import By, CampaignReport

    until = timezone.now()
    for days in (1, 7, 30, DAYS):
        since = until - timedelta(days=days)
        by_hand, report = paired(
            partial(typed, since, until), partial(campaigns, since, until)
        )
        print(
            f"{days:>3} days: by hand {by_hand:6.1f} ms, campaigns() {report:6.1f} ms,"
            f" {report / by_hand:.2f}x (goal 1.5x; 300 ms for 30 days)"
        )
    since = until - timedelta(days=30)
    for by in get_args(By):
        took, _ = paired(partial(campaigns, since, until, by=by), list)
        print(f" 30 days by {by}: {took:.1f} ms")
    question = CampaignReport(since, until)
    took, _ = paired(partial(question.rows, detailed=True), list)
    print(f" 30 days with every figure of the page: {took:.1f} ms")
    if explain:
        with CaptureQueriesContext(connection) as queries:
            question.rows(detailed=True)
        statements = [query["sql"].strip() for query in queries]
        for sql in statements:
            if sql.startswith(("SELECT", "WITH")):
                print(sql[:160], *plan(sql), sep="\n    ")


def plan(sql: str) -> list[str]:
    from django.db import connection

    words = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN ANALYZE"
    with connection.cursor() as cursor:
        cursor.execute(f"{words} {sql}")
        return [str(row[-1]) for row in cursor.fetchall()]


def typed(since: datetime, until: datetime) -> list[object]:
    from django.db import connection

    found = []
    with connection.cursor() as cursor:
        for sql in BY_HAND:
            cursor.execute(sql, [since, until])
            found += cursor.fetchall()
    return found


def paired(
    first: Callable[[], Iterable[object]], second: Callable[[], Iterable[object]]
) -> tuple[float, float]:
    """The medians in milliseconds, of runs that take turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(RUNS):
        for action, found in zip((first, second), times, strict=True):
            began = time.perf_counter()
            action()
            found.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[0]), statistics.median(times[1])


_CLICK: Final = (
    "INSERT INTO connectly_tracking_attribution (id, business, cnct_tracking_id,"
    " sendout_id, ctwa_clid, ad_id, attribution_source, reportable, refused, page,"
    " user_id, captured_at)"
)
_ORDER: Final = (
    "INSERT INTO connectly_tracking_conversion (event_name, business, key, order_id,"
    " event_time, recorded_at, delivered_at, clicked_at, attribution_id, user_id,"
    " value, currency, state, reason, detail, sendout_id, ad_id, body, payload, "
    " attempts, unconfirmed, crashes)"
)
_CAMPAIGN: Final = "'0a1b2c3d-4e5f-6a7b-8c9d-' || (100000000000 + n % 31)"
_AD: Final = "'12021483920481' || (1000 + n % 120)"
#: A third of the clicks are of users, each of whom clicks ten times in a row, orders
#: once, and does it again two months later.
_USER: Final = "CASE WHEN n % 3 = 0 THEN n / 30 % 20000 + 1 END"
_VALUES: Final = (
    " (n * 7919 % 50000 + 1000) / 100.0,"
    " CASE WHEN n % 70 = 0 THEN 'COP' ELSE 'USD' END,"
    " CASE WHEN n % 130 = 0 THEN 'rejected' WHEN n % 90 = 0 THEN 'skipped'"
    " ELSE 'delivered' END, CASE WHEN n % 130 = 0 THEN 'refused'"
    " WHEN n % 90 = 0 THEN 'outside_window' ELSE '' END, '',"
    f" {_CAMPAIGN}, {_AD}, '{{{{}}}}', '', 1, 0, 0"
)
_SQLITE: Final = (
    "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s"
    f" WHERE n < {{clicks}}) {_CLICK} SELECT printf('%032x', n), 'default',"
    f" 'track-' || n, {_CAMPAIGN}, 'ARA' || hex(randomblob(40)), {_AD}, 'meta_ctwa',"
    " 1, '',"
    f" '/product/' || (n % 9) || '/', {_USER}, strftime('%Y-%m-%d %H:%M:%f', 'now',"
    " '-' || (({clicks} - n) * {days} * 86400.0 / {clicks}) || ' seconds') || '000'"
    " FROM s",
    "WITH RECURSIVE s(n) AS (SELECT 10 UNION ALL SELECT n + 10 FROM s"
    f" WHERE n + 10 <= {{clicks}}) {_ORDER} SELECT 'Purchase', 'default',"
    " SHA256('ORD-' || n), 'ORD-' || n, t, t, t, c, id, u," + _VALUES + " FROM (SELECT"
    " s.n AS n, a.captured_at AS c, a.id AS id, a.user_id AS u,"
    " strftime('%Y-%m-%d %H:%M:%S', a.captured_at,"
    " '+' || (n * 131 % 20000) || ' seconds') AS t FROM s JOIN"
    " connectly_tracking_attribution a ON a.id = printf('%032x', s.n)) AS q",
)
_POSTGRES: Final = (
    f"{_CLICK} SELECT lpad(to_hex(n), 32, '0')::uuid, 'default', 'track-' || n,"
    f" {_CAMPAIGN}, 'ARA' || md5(n::text) || md5((-n)::text), {_AD}, 'meta_ctwa',"
    " true, '',"
    f" '/product/' || (n % 9) || '/', {_USER},"
    " now() - ({clicks} - n) * {days} * 86400.0 / {clicks} * interval '1 second'"
    " FROM generate_series(1::bigint, {clicks}) AS n",
    f"{_ORDER} SELECT 'Purchase', 'default', encode(sha256(('ORD-' || n)::bytea),"
    " 'hex'), 'ORD-' || n, t, t, t, c, id, u," + _VALUES + " FROM (SELECT n,"
    " captured_at AS c, id, user_id AS u,"
    " date_trunc('second', captured_at + (n * 131 % 20000)"
    " * interval '1 second') AS t FROM generate_series(10::bigint, {clicks}, 10) AS n"
    " JOIN connectly_tracking_attribution ON id = lpad(to_hex(n), 32, '0')::uuid) AS q",
)


if __name__ == "__main__":
    main()
