"""Copies of the test's database, and its restore from one."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def copied() -> Iterator[str]:
    """Yields the name of a copy as of now."""
    ours = str(connection.settings_dict["NAME"])
    suffix = uuid4().hex[:8]
    copy = f"{ours}.{suffix}" if connection.vendor == "sqlite" else f"copy_{suffix}"
    _COPY[connection.vendor](ours, copy)
    try:
        yield copy
    finally:
        if connection.vendor != "sqlite":  # which is a file in a test's directory
            _run("DROP DATABASE {}", copy)


def restore(copy: str) -> None:
    """What happened since is gone. Nobody else may be connected."""
    _COPY[connection.vendor](copy, str(connection.settings_dict["NAME"]))


def _copy_file(source: str, target: str) -> None:
    connection.close()
    with (
        closing(sqlite3.connect(source)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def _copy_from_template(source: str, target: str) -> None:
    _run("DROP DATABASE IF EXISTS {} WITH (FORCE)", target)
    _run("CREATE DATABASE {} TEMPLATE {}", target, source)


def _copy_tables(source: str, target: str) -> None:
    """Without their foreign keys, which no test of ours needs."""
    _run("CREATE DATABASE IF NOT EXISTS {}", target)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s",
            [source],
        )
        tables = [name for (name,) in cursor.fetchall()]
    _run("SET foreign_key_checks = 0")
    for table in tables:
        names = target, table, source, table
        _run("CREATE TABLE IF NOT EXISTS {}.{} LIKE {}.{}", *names)
        _run("DELETE FROM {}.{}", target, table)
        _run("INSERT INTO {}.{} SELECT * FROM {}.{}", *names)
    _run("SET foreign_key_checks = 1")


_COPY: Any = {
    "sqlite": _copy_file,
    "postgresql": _copy_from_template,
    "mysql": _copy_tables,
}


def _run(sql: str, *names: str) -> None:
    """PostgreSQL does so from another database."""
    statement = sql.format(*map(connection.ops.quote_name, names))
    if connection.vendor == "postgresql":
        connection.close()
        with connection._nodb_cursor() as cursor:
            cursor.execute(statement)
        return
    with connection.cursor() as cursor:
        cursor.execute(statement)
