"""P11: the admin's pages with a long history: ``python -m benchmarks.admin``.

A logged-in client fetches each page at two sizes of the table, and the statements on
our tables are counted.
"""

from __future__ import annotations

import re
import statistics
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from . import history
from .command import command
from .database import Copies
from .line import Line
from .shop import shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client

    from .line import Round

ROUNDS: Final = 5
SMALL: Final = {"least": 100, "most": 200, "fetches": 1, "page": 1}

#: The list of orders, then others.
LISTS: Final = {
    "the list": "conversion/",
    "its page 100": "conversion/?p={page}",
}
OTHERS: Final = {
    "a state that is rare": "conversion/?state__exact=rejected",
    "a day": "conversion/?when={day}",
    "a reason that is rare": "conversion/?reason=refused",
    "search for an order's number": "conversion/?q=ORD-77",
    "a campaign": "conversion/?sendout_id=send-1",
    "a campaign that is rare": "conversion/?sendout_id=send-77",
    "an ad that is rare": "conversion/?ad_id=120277",
    "search for a campaign": "conversion/?q=send-77",
    "search for a tracking id": "conversion/?q=track-77",
    "search for a click": "conversion/?q=clid-77",
    "search for an id that is not there": "conversion/?q=none",
    "clicks": "attribution/",
    "clicks of a campaign": "attribution/?sendout_id=send-1",
    "clicks: search for a tracking id": "attribution/?q=track-77",
    "clicks: search for a click": "attribution/?q=clid-77",
    "clicks: search for an ad that is rare": "attribution/?q=120277",
    "clicks: search for an id that is not there": "attribution/?q=none",
    "delivery status": "conversion/status/",
}

LINES: Final = (
    *(
        line
        for name in LISTS | OTHERS
        for line in (
            Line(
                name=f"P11 {name}",
                of=f"most: {name}",
                unit="ms",
                goal=80,
            ),
            Line(
                name=f"P11 {name}, beside the smaller table",
                of=f"most: {name}",
                beside=f"least: {name}",
                unit="ms",
                goal=1.5,
            ),
        )
    ),
    Line(
        name="P11 the list of orders: most statements of a page",
        of="statements",
        goal=3,
        bound=3,
    ),
    Line(
        name="P11 the list of orders: statements that count the whole table",
        of="counts",
        goal=0,
        bound=0,
    ),
)


@contextmanager
def subject(
    *,
    least: int = 10_000,
    most: int = 1_000_000,
    fetches: int = 5,
    page: int = 100,
    database: str = "postgres",
) -> Iterator[Callable[[], Round]]:
    with shop(database):
        from django.contrib.auth.models import User
        from django.test import Client
        from django.test.utils import setup_test_environment

        setup_test_environment()
        copies, clients = Copies(), dict[str, Client]()
        for name, size in {"least": least, "most": most}.items():
            copies.use(name)
            history.fill(size)
            clients[name] = Client()
            clients[name].force_login(User.objects.create_superuser("admin"))

        def measure() -> Round:
            found: dict[str, float] = {"statements": 0, "counts": 0}
            for name, client in clients.items():
                copies.use(name)
                for what, query in (LISTS | OTHERS).items():
                    path = query.format(day=_yesterday(), page=page)
                    took, statements = _fetch(client, path, fetches)
                    found[f"{name}: {what}"] = took
                    if what in LISTS:
                        count = _counts_of_all(statements)
                        found["statements"] = max(found["statements"], len(statements))
                        found["counts"] += count
            copies.use("")
            return found

        yield measure


def _yesterday() -> str:
    from django.utils import timezone

    return (timezone.now().date() - timedelta(1)).isoformat()


def _fetch(client: Client, path: str, fetches: int) -> tuple[float, list[str]]:
    """Median milliseconds, and the statements on our tables."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django.urls import reverse

    url = reverse("admin:app_list", args=["connectly_tracking"]) + path
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    ours = [it["sql"] for it in queries if "connectly_tracking_" in it["sql"]]
    took = []
    for _ in range(fetches):
        began = time.perf_counter()
        client.get(url)
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took), ours


def _counts_of_all(statements: list[str]) -> int:
    counts = [sql for sql in statements if re.search(r"COUNT\(", sql)]
    return sum("LIMIT" not in sql for sql in counts)


if __name__ == "__main__":
    command("admin")
