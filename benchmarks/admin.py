"""The admin's pages with a long history: ``python -m benchmarks.admin --help``.

A logged-in client fetches each page at each size of the table, and its statements are
counted. Ends with status 1 if a page of the list takes more than three statements or
counts the table, or if the largest table makes the list more than twice as slow as the
smallest.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .database import database

if TYPE_CHECKING:
    from django.test import Client

FETCHES: Final = 15
MAX_STATEMENTS: Final = 3  # of a page of the list
MAX_SLOWDOWN: Final = 2.0
#: Pages of the list of orders, then others.
LISTS: Final = {
    "list": "conversion/",
    "page 100": "conversion/?p=100",
    "a state that is rare": "conversion/?state__exact=rejected",
    "a day": "conversion/?when={day}",
    "a reason that is rare": "conversion/?reason=refused",
    "an order's number": "conversion/?q=ORD-77",
}
OTHERS: Final = {
    "a campaign": "conversion/?sendout_id=send-1",
    "a campaign that is rare": "conversion/?sendout_id=send-77",
    "an ad that is rare": "conversion/?ad_id=120277",
    "search for a campaign": "conversion/?q=send-77",
    "search for a tracking id": "conversion/?q=track-77",
    "search for a click": "conversion/?q=clid-77",
    "search for nobody's id": "conversion/?q=none",
    "clicks": "attribution/",
    "clicks of a campaign": "attribution/?sendout_id=send-1",
    "clicks, a tracking id": "attribution/?q=track-77",
    "clicks, a click's id": "attribution/?q=clid-77",
    "clicks, an ad that is rare": "attribution/?q=120277",
    "clicks, nobody's id": "attribution/?q=none",
    "delivery status": "conversion/status/",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.admin")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--postgres", action="store_true")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="connectly-bench-") as name,
        database(Path(name), postgres=options.postgres),
    ):
        return _measure(sorted(options.rows))


def _measure(sizes: list[int]) -> int:
    from django.contrib.auth.models import User
    from django.test import Client
    from django.test.utils import setup_test_environment

    setup_test_environment()
    client, filled, times = Client(), 0, list[dict[str, float]]()
    client.force_login(User.objects.create_superuser("admin"))
    problems: list[str] = []
    for size in sizes:
        _fill(filled, size)
        filled = size
        times.append({})
        for name, query in (LISTS | OTHERS).items():
            milliseconds, statements = _fetch(client, query)
            times[-1][name] = milliseconds
            problems += _problems(name, statements) if name in LISTS else []
            print(f"{size:>9} {name:<28} {milliseconds:7.1f} ms, {len(statements)}")
    for name in LISTS | OTHERS:
        ratio = times[-1][name] / times[0][name]
        print(f"{name:<28} {ratio:.2f} times")
        problems += (
            [f"{name}: {ratio:.2f} times as slow"] if ratio > MAX_SLOWDOWN else []
        )
    print("\n".join(problems) or "All of it holds.")
    return 1 if problems else 0


def _fetch(client: Client, query: str) -> tuple[float, list[str]]:
    """Median milliseconds, and the statements on our tables."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django.urls import reverse
    from django.utils import timezone

    url = reverse("admin:app_list", args=["connectly_tracking"])
    url += query.format(day=(timezone.now().date() - timedelta(1)).isoformat())
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    ours = [it["sql"] for it in queries if "connectly_tracking_" in it["sql"]]
    took = []
    for _ in range(FETCHES):
        began = time.perf_counter()
        client.get(url)
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took), ours


def _problems(name: str, statements: list[str]) -> list[str]:
    most = MAX_STATEMENTS + 2 * ("number" in name)  # the explanation of the order
    found = [f"{name}: {len(statements)} statements"] if len(statements) > most else []
    counts = [it for it in statements if re.search(r"COUNT\(", it)]
    unbounded = [it for it in counts if "LIMIT" not in it]
    return found + [f"{name}: {sql}" for sql in unbounded]


def _fill(first: int, last: int) -> None:
    """Clicks of the last 80 days with an order each. The first 60 orders were refused,
    and one click is of a campaign and an ad of its own.
    """
    from django.db import connection

    made = _SQLITE if connection.vendor == "sqlite" else _POSTGRES
    with connection.cursor() as cursor:
        cursor.execute(made.format(first=first + 1, last=last))
        cursor.execute(_CLICKS)
        cursor.execute(_ORDERS[connection.vendor])
        cursor.execute("DROP TABLE made")
        cursor.execute("ANALYZE")


#: The numbers, ids and times of what is inserted next.
_SQLITE: Final = (
    "CREATE TEMPORARY TABLE made AS WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL"
    " SELECT n + 1 FROM s WHERE n < {last}) SELECT n, printf('%032x', n) AS id,"
    " strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || (({last} - n) * 6912000 / {last})"
    " || ' seconds') || '000' AS t FROM s"
)
_POSTGRES: Final = (
    "CREATE TEMPORARY TABLE made AS SELECT n, lpad(to_hex(n), 32, '0')::uuid AS id,"
    " now() - ({last} - n) * 6912000.0 / {last} * interval '1 second' AS t"
    " FROM generate_series({first}::bigint, {last}) AS n"
)
_CAMPAIGN: Final = "'send-' || CASE WHEN n = 77 THEN n ELSE n % 3 END"
_AD: Final = "'1202' || CASE WHEN n = 77 THEN n ELSE n % 12 END"
_CLICKS: Final = (
    "INSERT INTO connectly_tracking_attribution (id, business, cnct_tracking_id,"
    " sendout_id, ctwa_clid, ad_id, attribution_source, reportable, refused, page,"
    f" captured_at) SELECT id, 'default', 'track-' || n, {_CAMPAIGN}, 'clid-' || n,"
    f" {_AD}, 'meta_ctwa', true, '', '/', t FROM made"
)
_ORDER: Final = (
    "INSERT INTO connectly_tracking_conversion (event_name, business, key, order_id,"
    " event_time, recorded_at, delivered_at, clicked_at, attribution_id, value,"
    " currency, state, reason, detail, sendout_id, ad_id, body, payload, attempts,"
    " unconfirmed, crashes) SELECT 'Purchase', 'default', {key}, 'ORD-' || n, t, t, t,"
    " t, id, 49.99, 'USD', CASE WHEN n <= 60 THEN 'rejected' ELSE 'delivered' END,"
    f" CASE WHEN n <= 60 THEN 'refused' ELSE '' END, '', {_CAMPAIGN}, {_AD}, '', '', 1,"
    " 0, 0 FROM made"
)
_ORDERS: Final = {
    "sqlite": _ORDER.format(key="SHA256('ORD-' || n)"),
    "postgresql": _ORDER.format(key="encode(sha256(('ORD-' || n)::bytea), 'hex')"),
}


if __name__ == "__main__":
    sys.exit(main())
