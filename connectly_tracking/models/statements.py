"""Statements of a page, whose SQL is written once.

The ORM writes it anew each time, and that takes longer than the database needs. Values
are converted by the models' fields, as everywhere.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import connections
from django.db.models import CharField, TextField
from django.db.models.sql import InsertQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import Field, Model

#: Fields that store a string as it is.
_TEXTS: Final = (CharField, TextField)

_Row = TypeVar("_Row", bound="Model")


def insert_row(row: Model, *, using: str) -> bool:
    """Insert a row, unless that would make a key twice. Return whether it is new.

    One statement; without an open transaction it is committed by itself. On MySQL every
    error of a value is a warning, as with ``ignore_conflicts``.
    """
    connection, auto_field = connections[using], row._meta.auto_field
    head, fields, tail = _insert(type(row), using)
    places, values = ["%s"] * len(fields), list[Any]()
    for number, field in enumerate(fields):
        value = getattr(row, field.attname)
        if value is None or (type(value) is str and type(field) in _TEXTS):
            values.append(value)
        elif hasattr(value, "as_sql"):
            compiler = InsertQuery(type(row)).get_compiler(using)
            places[number], its_values = compiler.compile(value)
            values += its_values
        else:
            values.append(field.get_db_prep_save(value, connection))
    with connection.cursor() as cursor:
        cursor.execute(f"{head} VALUES ({', '.join(places)}) {tail}", values)
        is_new = bool(cursor.rowcount)
        if is_new and auto_field is not None:
            row.pk = cursor.fetchone()[0] if "RETURNING" in tail else cursor.lastrowid
    row._state.adding, row._state.db = False, using
    return is_new


def row_of(model: type[_Row], values: Sequence[Any], *, using: str) -> _Row:
    """Return a row whose columns a statement has read, all in the model's order."""
    connection, fields = connections[using], model._meta.concrete_fields
    converted = []
    for field, value in zip(fields, values, strict=True):
        column: Any = field.get_col(model._meta.db_table)
        converters = connection.ops.get_db_converters(column)
        for convert in (*converters, *column.get_db_converters(connection)):
            value = convert(value, column, connection)
        converted.append(value)
    return model.from_db(using, [field.attname for field in fields], converted)


@cache
def _insert(model: type[Model], using: str) -> tuple[str, list[Field[Any, Any]], str]:
    """The statement before the values, the fields of the values, and what follows."""
    connection, meta = connections[using], model._meta
    fields = [field for field in meta.concrete_fields if field is not meta.auto_field]
    quote = connection.ops.quote_name
    columns = ", ".join([quote(str(field.column)) for field in fields])
    into = f"INTO {quote(meta.db_table)} ({columns})"
    if connection.vendor == "mysql":
        return f"INSERT IGNORE {into}", fields, ""
    tail = "ON CONFLICT DO NOTHING"
    if connection.vendor == "postgresql" and meta.auto_field is not None:
        tail += f" RETURNING {quote(str(meta.auto_field.column))}"
    return f"INSERT {into}", fields, tail
