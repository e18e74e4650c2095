"""A long history: clicks of 90 days, and orders that were sent.

Campaign ``send-77`` and ad ``120277`` are those of the 77th click alone; the first 60
orders were refused.
"""

from __future__ import annotations

from typing import Final

DAYS: Final = 90


def fill(clicks: int, *, clicks_an_order: int = 1) -> None:
    """Insert clicks, numbered from 1, and an order after each so many of them."""
    from django.db import connection

    values = {"clicks": clicks, "days": DAYS, "each": clicks_an_order}
    with connection.cursor() as cursor:
        cursor.execute(_MADE[connection.vendor].format(**values))
        cursor.execute(_CLICKS)
        cursor.execute(_ORDERS[connection.vendor].format(**values))
        cursor.execute("DROP TABLE made")
        cursor.execute("ANALYZE")


#: Of each click its number, id and time, and the time of its order.
_MADE: Final = {
    "sqlite": (
        "CREATE TEMPORARY TABLE made AS WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL"
        " SELECT n + 1 FROM s WHERE n < {clicks}) SELECT n, printf('%032x', n) AS id,"
        " strftime('%Y-%m-%d %H:%M:%f', 'now', printf('%+.3f seconds', (n - {clicks})"
        " * {days} * 86400.0 / {clicks})) || '000' AS clicked,"
        " strftime('%Y-%m-%d %H:%M:%S', 'now', printf('%+.3f seconds', (n - {clicks})"
        " * {days} * 86400.0 / {clicks} + n * 131 % 20000)) AS ordered FROM s"
    ),
    "postgresql": (
        "CREATE TEMPORARY TABLE made AS SELECT n, id, clicked, date_trunc('second',"
        " clicked + (n * 131 % 20000) * interval '1 second') AS ordered FROM (SELECT n,"
        " lpad(to_hex(n), 32, '0')::uuid AS id, now() - ({clicks} - n) * {days}"
        " * 86400.0 / {clicks} * interval '1 second' AS clicked"
        " FROM generate_series(1::bigint, {clicks}) AS n) AS numbered"
    ),
}
_CAMPAIGN: Final = "'send-' || CASE WHEN n = 77 THEN n ELSE n % 31 END"
_AD: Final = "'1202' || CASE WHEN n = 77 THEN n ELSE 1000 + n % 120 END"
#: A third of the clicks are of users, each of whom clicks ten times in a row, and again
#: two months later.
_USER: Final = "CASE WHEN n % 3 = 0 THEN n / 30 % 20000 + 1 END"
_CLICKS: Final = (
    "INSERT INTO connectly_tracking_attribution (id, business, cnct_tracking_id,"
    " sendout_id, ctwa_clid, ad_id, attribution_source, reportable, refused, page,"
    f" user_id, captured_at) SELECT id, 'default', 'track-' || n, {_CAMPAIGN},"
    f" 'clid-' || n, {_AD}, 'meta_ctwa', true, '', '/product/' || (n % 9) || '/',"
    f" {_USER}, clicked FROM made"
)
_STATE: Final = (
    "CASE WHEN n <= 60 * {each} THEN 'rejected' WHEN n % 90 = 0 THEN 'skipped'"
    " ELSE 'delivered' END, CASE WHEN n <= 60 * {each} THEN 'refused'"
    " WHEN n % 90 = 0 THEN 'outside_window' ELSE '' END"
)
_ORDER: Final = (
    "INSERT INTO connectly_tracking_conversion (event_name, business, key, order_id,"
    " event_time, recorded_at, delivered_at, clicked_at, attribution_id, user_id,"
    " value, currency, state, reason, detail, sendout_id, ad_id, body, payload,"
    " attempts, unconfirmed, crashes) SELECT 'Purchase', 'default', [key],"
    f" 'ORD-' || n, ordered, ordered, ordered, clicked, id, {_USER},"
    " (n * 7919 % 50000 + 1000) / 100.0,"
    " CASE WHEN n % 70 = 0 THEN 'COP' ELSE 'USD' END,"
    f" {_STATE}, '', {_CAMPAIGN}, {_AD}, '', '', 1, 0, 0 FROM made"
    " WHERE n % {each} = 0"
)
_ORDERS: Final = {
    "sqlite": _ORDER.replace("[key]", "SHA256('ORD-' || n)"),
    "postgresql": _ORDER.replace(
        "[key]", "encode(sha256(('ORD-' || n)::bytea), 'hex')"
    ),
}
