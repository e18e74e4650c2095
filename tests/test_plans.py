"""No page of figures reads the whole history, however it is asked.

Each statement of the page is explained, on tables that have a history and statistics.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from benchmarks.history import fill
from connectly_tracking.admin.campaigns import GROUPS

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(
        connection.vendor not in ("sqlite", "postgresql"),
        reason="the history is written for SQLite and PostgreSQL",
    ),
]
CAMPAIGNS: Final = reverse("admin:connectly_tracking_campaign_changelist")
STATUS: Final = reverse("admin:connectly_tracking_conversion_status")
#: Our tables that grow. All orders but those of a day are older than it: an index that
#: skips the event's name for them reads as much.
WHOLE: Final = re.compile(
    r"(SCAN|Seq Scan on) connectly_tracking_(attribution|conversion)\b"
    r"|ANY\(event_name\)"
)


@pytest.fixture
def history(admin_client: Client) -> Client:
    fill(10_000, clicks_an_order=10)
    return admin_client


def statements(client: Client, url: str) -> list[str]:
    """Return those that read our tables."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    found = [query["sql"].strip() for query in queries]
    return [
        sql
        for sql in found
        if sql.startswith(("SELECT", "WITH")) and "connectly_tracking_" in sql
    ]


def plan(sql: str) -> list[str]:
    words = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        cursor.execute(f"{words} {sql}")
        return [str(row[-1]) for row in cursor.fetchall()]


def test_the_campaigns_page_reads_only_its_period(history: Client) -> None:
    day = f"{timezone.localdate() - timedelta(days=9)}"
    for by in GROUPS:
        for more in ("", "&campaign=send-7", "&business=default"):
            url = f"{CAMPAIGNS}?from={day}&to={day}&by={by}{more}"
            found = statements(history, url)
            # And the campaign's name, where the page is about one.
            assert len(found) <= 6 + more.startswith("&campaign")
            for sql in found:
                steps = plan(sql)
                assert not any(WHOLE.search(step) for step in steps), (sql, steps)


def test_the_delivery_page_reads_what_waits_and_what_is_new(history: Client) -> None:
    for sql in statements(history, STATUS):
        if re.search(r" DESC LIMIT \d+$", sql):
            continue  # the newest, from the end of an index
        steps = plan(sql)
        assert not any(WHOLE.search(step) for step in steps), (sql, steps)


def test_a_whole_read_would_be_seen(history: Client) -> None:
    table = "connectly_tracking_conversion"
    steps = plan(f"SELECT COUNT(*) FROM {table} WHERE detail = 'x'")
    assert any(WHOLE.search(step) for step in steps)
