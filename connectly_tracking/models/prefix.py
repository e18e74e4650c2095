"""Finds a long text by an index: of its first characters, since no database's key is as
long as an id may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db.models import CharField, F, Func, Index
from django.db.models.lookups import Exact

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.backends.ddl_references import Statement
    from django.db.models import Model

LENGTH: Final = 64  # characters; the ids that are known are shorter


class Prefix(Func):
    """The first characters of a text, written as in the index."""

    function = "LEFT"
    template = f"%(function)s(%(expressions)s, {LENGTH})"
    output_field = CharField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = f"SUBSTR(%(expressions)s, 1, {LENGTH})"
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
                col_suffixes=[f"({LENGTH})"] + [""] * (len(fields) - 1),
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
        template = f"(LEFT({{0}}, {LENGTH}) = %s AND {{0}} = %s)"
        return self._with_prefix(compiler, connection, template)

    def as_sqlite(self, compiler: Any, connection: Any) -> Any:
        # With the plus, since SQLite would put the text for the column into SUBSTR.
        template = f"(SUBSTR({{0}}, 1, {LENGTH}) = %s AND +{{0}} = %s)"
        return self._with_prefix(compiler, connection, template)

    def _with_prefix(self, compiler: Any, connection: Any, template: str) -> Any:
        column, _none = self.process_lhs(compiler, connection)
        return template.format(column), (self.text[:LENGTH], self.text)
