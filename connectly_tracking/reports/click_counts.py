"""How many clicks each campaign or ad had, on SQLite.

SQLite sorts what it groups, so it would sort all clicks of a period. The index on an id
has them in order: each id is found by one look-up, and its clicks are counted in the
index alone. Only ids that are longer than the index holds are read from the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..models import Attribution
from ..models.prefix import LENGTH

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.backends.base.base import BaseDatabaseWrapper

_SQL: Final = """
WITH RECURSIVE ids(prefix) AS (
    SELECT MIN({prefix}) FROM {table}
    UNION ALL
    SELECT (SELECT MIN({prefix}) FROM {table} WHERE {prefix} > ids.prefix)
    FROM ids WHERE ids.prefix IS NOT NULL
)
SELECT ids.prefix, (
    SELECT COUNT(*) FROM {table}
    WHERE {prefix} = ids.prefix AND captured_at >= %s AND captured_at < %s
) FROM ids WHERE LENGTH(ids.prefix) < {length}
UNION ALL
SELECT {column}, COUNT(*) FROM ids CROSS JOIN {table}
WHERE LENGTH(ids.prefix) = {length} AND {prefix} = ids.prefix
    AND captured_at >= %s AND captured_at < %s
GROUP BY 1
"""


def clicks_by_id(
    connection: BaseDatabaseWrapper, column: str, begins: datetime, ends: datetime
) -> list[tuple[str, int]]:
    """Return each campaign or ad that had a click from one time to before another."""
    name = connection.ops.quote_name
    at = Attribution._meta.get_field("captured_at")
    span = [at.get_db_prep_value(time, connection) for time in (begins, ends)]
    sql = _SQL.format(
        table=name(Attribution._meta.db_table),
        column=name(column),
        prefix=f"SUBSTR({name(column)}, 1, {LENGTH})",
        length=LENGTH,
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*span, *span])
        return [(key, count) for key, count in cursor.fetchall() if count]
