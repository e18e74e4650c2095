"""What the campaign report computes in the database, in the words of each database."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import connections, transaction
from django.db.models import BigIntegerField, CharField, Func, Sum, TextField

from ..models import Attribution, moment
from ..models.expressions import PREFIX_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from django.db.backends.base.base import BaseDatabaseWrapper

ONE_DAY: Final = timedelta(days=1)
#: A delay counts in minutes up to 2 hours, in hours up to 2 days, then in days. The
#: seconds are written as seldom as possible, since SQLite computes them each time.
_STEPS: Final = (
    "CASE WHEN {0} < 7200 THEN {0} {div} 60 * 60"
    " WHEN {0} < 172800 THEN {0} {div} 3600 * 3600 ELSE {0} {div} 86400 * 86400 END"
)
#: Nothing is older; a time zone is not asked about the centuries before.
_OLDEST: Final = datetime(1990, 1, 1, tzinfo=UTC)

_CLICKS_BY_ID: Final = """
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


class ExactSum(Sum):
    """The exact sum of amounts in text; `sum_of` reads it.

    SQLite has no decimals and adds floats, so integers are added. Billions, the rest
    before the point, and millionths have a sum each: one of all might be too large.
    """

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        whole = "CAST(%(expressions)s AS INTEGER)"
        # A float has 15 digits: of a billion and more, two are sure after the point.
        millionths = (
            "CASE WHEN %(expressions)s < 1e9"
            " THEN CAST(%(expressions)s * 1000000 + 0.5 AS INTEGER) %%%% 1000000"
            f" ELSE CAST(ROUND((%(expressions)s - {whole}) * 100) AS INTEGER) * 10000"
            " END"
        )
        template = (
            f"SUM({whole} / 1000000000) || ' ' || SUM({whole} %%%% 1000000000)"
            f" || ' ' || SUM({millionths})"
        )
        return self.as_sql(compiler, connection, template=template, **extra)


def sum_of(text: Any) -> Decimal:
    """Return what an `ExactSum` found."""
    parts = [Decimal(part) for part in str(text).split()]
    if len(parts) == 1:
        return parts[0]
    billions, rest, millionths = parts
    return billions.scaleb(9) + rest + millionths.scaleb(-6)


class SecondsBetween(Func):
    """Seconds from a time to a later one that is in whole seconds, rounded up."""

    output_field = BigIntegerField()
    written = "{0}"

    def __init__(self, earlier: str, later: str) -> None:
        super().__init__(earlier, later)

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, Any]:
        seconds = "CAST(STRFTIME('%%s', {}) AS INTEGER)"
        return self._sql(compiler, f"({seconds} - {seconds})")

    def as_postgresql(
        self, compiler: Any, connection: Any, **_: Any
    ) -> tuple[str, Any]:
        seconds = "FLOOR(EXTRACT(EPOCH FROM {}))::bigint"
        return self._sql(compiler, f"({seconds} - {seconds})")

    def as_mysql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, Any]:
        micros = "TIMESTAMPDIFF(MICROSECOND, {1}, {0})"
        seconds = f"CAST(CEILING({micros} / 1000000) AS SIGNED)"
        return self._sql(compiler, seconds, div="DIV")

    def _sql(self, compiler: Any, template: str, div: str = "/") -> tuple[str, Any]:
        """Both are columns, which have no parameters."""
        earlier, later = (
            compiler.compile(it)[0] for it in self.get_source_expressions()
        )
        return self.written.format(template.format(later, earlier), div=div), []


class Delay(SecondsBetween):
    """As `SecondsBetween`, rounded down to minutes, hours or days by its size."""

    written = _STEPS


class Unindexed(Func):
    """A column that SQLite may not look up by its index.

    Without statistics it would rather read all earlier orders than those of one click.
    """

    arity = 1
    template = "%(expressions)s"

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="+%(expressions)s", **extra)


@contextmanager
def not_compiled(using: str) -> Iterator[None]:
    """Keep PostgreSQL from compiling a statement that looks back for each order.

    It expects such a statement to take long, and compiling takes longer than running.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(using=using):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL jit = off")
        yield


class LocalDay(Func):
    """The day of a time in a zone: ISO text, or a date, whose text is the same.

    The database is not asked for zones: MySQL may have no table of them, and SQLite
    would call Python for each row.
    """

    output_field = CharField()

    def __init__(
        self, column: str, zone: tzinfo, since: datetime, until: datetime
    ) -> None:
        super().__init__(column)
        self.zone, self.since, self.until = zone, since, until

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, Any]:
        return self._sql(compiler, connection, "DATE({}, '{:+d} seconds')")

    def as_postgresql(
        self, compiler: Any, connection: Any, **_: Any
    ) -> tuple[str, Any]:
        utc = "({} AT TIME ZONE 'UTC'" if settings.USE_TZ else "({}"
        day = f"{utc} + {{:d}} * INTERVAL '1 second')::date"
        return self._sql(compiler, connection, day)

    def as_mysql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, Any]:
        day = "DATE({} + INTERVAL {:d} SECOND)"
        return self._sql(compiler, connection, f"CAST({day} AS CHAR)")

    def _sql(self, compiler: Any, connection: Any, template: str) -> tuple[str, Any]:
        (column,) = (compiler.compile(it)[0] for it in self.get_source_expressions())
        stored = (connection.timezone or UTC) if settings.USE_TZ else self.zone
        spans = [*_spans(self.zone, stored, self.since, self.until)]
        written, values = "", list[Any]()
        for ends, seconds in spans[:-1]:
            written += f" WHEN {column} < %s THEN {template.format(column, seconds)}"
            values.append(connection.ops.adapt_datetimefield_value(moment(ends)))
        last = template.format(column, spans[-1][1])
        return (f"CASE{written} ELSE {last} END" if written else last), values


def _spans(
    zone: tzinfo, stored: tzinfo, since: datetime, until: datetime
) -> Iterator[tuple[float, int]]:
    """Yield until when the clocks of both zones are how many seconds apart."""
    at, last = max(since, _OLDEST), min(until, datetime.now(UTC) + 2 * ONE_DAY)
    apart = _apart(zone, stored, at)
    while at < last:
        following = min(at + ONE_DAY, last)
        if (then := _apart(zone, stored, following)) != apart:
            yield _change(zone, stored, at, following), apart
            apart = then
        at = following
    yield 0, apart


def _apart(zone: tzinfo, stored: tzinfo, at: datetime) -> int:
    offsets = (at.astimezone(it).utcoffset() or timedelta() for it in (zone, stored))
    ours, theirs = offsets
    return round((ours - theirs).total_seconds())


def _change(zone: tzinfo, stored: tzinfo, before: datetime, after: datetime) -> float:
    """Return the second at which they change, between two moments."""
    low, high = int(before.timestamp()), int(after.timestamp()) + 1
    first = _apart(zone, stored, before)
    while high - low > 1:
        middle = (low + high) // 2
        if _apart(zone, stored, datetime.fromtimestamp(middle, UTC)) == first:
            low = middle
        else:
            high = middle
    return float(high)


def clicks_by_id(
    connection: BaseDatabaseWrapper, column: str, begins: datetime, ends: datetime
) -> list[tuple[str, int]]:
    """Return each campaign or ad that had a click from one time to before another.

    For SQLite, which sorts what it groups, so it would sort all clicks of a period. The
    index on an id has them in order: each id is found by one look-up, and its clicks
    are counted in the index alone. Only ids that are longer than the index holds are
    read from the table.
    """
    name = connection.ops.quote_name
    at = Attribution._meta.get_field("captured_at")
    span = [at.get_db_prep_value(time, connection) for time in (begins, ends)]
    sql = _CLICKS_BY_ID.format(
        table=name(Attribution._meta.db_table),
        column=name(column),
        prefix=f"SUBSTR({name(column)}, 1, {PREFIX_LENGTH})",
        length=PREFIX_LENGTH,
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*span, *span])
        return [(key, count) for key, count in cursor.fetchall() if count]
