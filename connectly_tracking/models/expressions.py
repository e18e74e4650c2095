"""SQL that the ORM lacks: a long text is found by an index, and a row written fast.

The index is of the text's first characters, since no database's key is as long as an id
may be. The statements of a page have their SQL written once: the ORM writes it anew
each time, and that takes longer than the database needs. Values are converted by the
models' fields, as everywhere.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import connections
from django.db.models import CharField, F, Func, Index, TextField
from django.db.models.lookups import Exact
from django.db.models.sql import InsertQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.backends.ddl_references import Statement
    from django.db.models import Field, Model

PREFIX_LENGTH: Final = 64  # characters; the ids that are known are shorter


class Prefix(Func):
    """The first characters of a text, written as in the index."""

    function = "LEFT"
    template = f"%(function)s(%(expressions)s, {PREFIX_LENGTH})"
    output_field = CharField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = f"SUBSTR(%(expressions)s, 1, {PREFIX_LENGTH})"
        return self.as_sql(compiler, connection, template=template, **context)


class PrefixIndex(Index):
    """An index whose first field is a text, of which it holds the prefix.

    Query it with `IsText`.
    """

    def create_sql(
        self,
        model: type[Model],
        schema_editor: BaseDatabaseSchemaEditor,
        using: str = "",
        **kwargs: Any,
    ) -> Statement:
        if schema_editor.connection.vendor == "mysql":
            fields = [model._meta.get_field(name) for name in self.fields]
            sql: Statement = schema_editor._create_index_sql(  # type: ignore[attr-defined]
                model,
                fields=fields,
                name=self.name,
                col_suffixes=[f"({PREFIX_LENGTH})"] + [""] * (len(fields) - 1),
            )
            return sql
        text, *others = self.fields
        index = Index(Prefix(text), *others, name=self.name)
        return index.create_sql(model, schema_editor, using, **kwargs)


class IsText(Exact):
    """The condition that a field is this text, for a `PrefixIndex` of the field."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(F(field), text)
        self.text = text

    def as_postgresql(self, compiler: Any, connection: Any) -> Any:
        template = f"(LEFT({{0}}, {PREFIX_LENGTH}) = %s AND {{0}} = %s)"
        return self._with_prefix(compiler, connection, template)

    def as_sqlite(self, compiler: Any, connection: Any) -> Any:
        # With the plus, since SQLite would put the text for the column into SUBSTR.
        template = f"(SUBSTR({{0}}, 1, {PREFIX_LENGTH}) = %s AND +{{0}} = %s)"
        return self._with_prefix(compiler, connection, template)

    def _with_prefix(self, compiler: Any, connection: Any, template: str) -> Any:
        column, _none = self.process_lhs(compiler, connection)
        return template.format(column), (self.text[:PREFIX_LENGTH], self.text)


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
