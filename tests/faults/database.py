"""What a database may do to us."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

#: By vendor: what makes it refuse each INSERT into a table, and what ends that.
_TRIGGERS: Final = {
    "sqlite": (
        [
            "CREATE TRIGGER faults_refuse BEFORE INSERT ON {table}"
            " BEGIN SELECT RAISE(ABORT, 'refused'); END"
        ],
        ["DROP TRIGGER faults_refuse"],
    ),
    "postgresql": (
        [
            "CREATE FUNCTION faults_refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'refused'; END $$",
            "CREATE TRIGGER faults_refuse BEFORE INSERT ON {table}"
            " EXECUTE FUNCTION faults_refuse()",
        ],
        [
            "DROP TRIGGER faults_refuse ON {table}",
            "DROP FUNCTION faults_refuse()",
        ],
    ),
    "mysql": (
        [
            "CREATE TRIGGER faults_refuse BEFORE INSERT ON {table} FOR EACH ROW"
            " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused'"
        ],
        ["DROP TRIGGER faults_refuse"],
    ),
}


@contextmanager
def inserts_refused(table: str) -> Iterator[None]:
    """The database itself raises at each INSERT, whoever sends it."""
    make, drop = _TRIGGERS[connection.vendor]
    with connection.cursor() as cursor:
        for statement in make:
            cursor.execute(statement.format(table=table))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for statement in drop:
                cursor.execute(statement.format(table=table))


@contextmanager
def table_away(table: str) -> Iterator[None]:
    """Whoever reads it or writes to it fails."""
    name = connection.ops.quote_name
    rename = "ALTER TABLE {} RENAME TO {}".format
    with connection.cursor() as cursor:
        cursor.execute(rename(name(table), name("faults_away")))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(rename(name("faults_away"), name(table)))
