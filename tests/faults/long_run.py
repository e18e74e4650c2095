"""One storm in a database of its own, which is dropped: ``python -m tests.faults`` runs
these one after the other. The figures are one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import django

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.long_run")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--orders", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    with _database() as server:
        figures = {"server": server} | _run(**vars(options))
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


def _run(*, seed: int, orders: int, seconds: float) -> dict[str, Any]:
    from django.conf import settings

    from connectly_tracking.sandbox import Sandbox

    from .audit import audit
    from .brokers import redis
    from .shop import Shop
    from .storm import CONDITIONS, storm

    def configure(**changes: object) -> None:
        settings.CONNECTLY_TRACKING = {**settings.CONNECTLY_TRACKING, **changes}

    known: Any = settings.CONNECTLY_TRACKING
    credentials = {"business_id": known["BUSINESS_ID"], "api_key": known["API_KEY"]}
    with (
        tempfile.TemporaryDirectory(prefix="connectly-") as name,
        Sandbox(keep=10 * orders, **credentials) as sandbox,
    ):
        configure(BASE_URL=sandbox.url)
        with Shop(Path(name), _environ(), sandbox, configure) as shop, redis(shop):
            after = storm(shop, Path(name), seed=seed, orders=orders, seconds=seconds)
            audit(shop, after.told, in_flight=after.in_flight)
    return asdict(after) | {"conditions": CONDITIONS}


@contextmanager
def _database() -> Iterator[str]:
    """Yields the server's name and version."""
    from django.db import connection

    before = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield _server()
    finally:
        connection.creation.destroy_test_db(before, verbosity=0)


def _server() -> str:
    from django.db import connection

    if connection.vendor == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        version = str(cursor.fetchone()[0])
    if connection.vendor == "postgresql":
        return " ".join(version.split()[:2])
    return "{1} {0}".format(*version.split("-"))


def _environ() -> dict[str, str]:
    """So that another process works on this database with this sandbox."""
    from django.conf import settings
    from django.db import connection

    known: Any = settings.CONNECTLY_TRACKING
    url = urlsplit(os.environ["DATABASE_URL"])
    query = f"?{url.query}" if url.query else ""
    path = f"/{connection.settings_dict['NAME']}"  # of SQLite's file it is absolute
    environ: dict[str, str] = os.environ | {
        "DATABASE_URL": f"{url.scheme}://{url.netloc}{path}{query}",
        "CONNECTLY_BUSINESS_ID": known["BUSINESS_ID"],
        "CONNECTLY_API_KEY": known["API_KEY"],
        "CONNECTLY_BASE_URL": known["BASE_URL"],
        "PYTHONUNBUFFERED": "1",
    }
    return environ


if __name__ == "__main__":
    sys.exit(main())
