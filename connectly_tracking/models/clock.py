"""The database's own clock, by which leases and due times are set and compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import DateTimeField, Func
from django.utils import timezone

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler

    Sql = tuple[str, tuple[Any, ...]]


class DbNow(Func):
    """Now, or so many seconds from now, in the form in which columns hold a time.

    Django's ``Now()`` is the session's local time on MySQL, where columns hold UTC, and
    UTC on SQLite also where ``USE_TZ`` is off and columns hold local time.
    """

    output_field = DateTimeField()

    def __init__(self, seconds: float = 0) -> None:
        super().__init__()
        self.seconds = round(seconds, 3)

    def as_sql(  # type: ignore[override]
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any
    ) -> Sql:
        raise NotImplementedError(f"{connection.vendor} is not supported")

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any
    ) -> Sql:
        return "(STATEMENT_TIMESTAMP() + make_interval(secs => %s))", (self.seconds,)

    def as_mysql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any
    ) -> Sql:
        micros = round((self.seconds + _local_offset(connection)) * 1_000_000)
        return "(UTC_TIMESTAMP(6) + INTERVAL %s MICROSECOND)", (micros,)

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any
    ) -> Sql:
        shift = f"{self.seconds + _local_offset(connection):+.3f} seconds"
        # Times are text there, and Django writes six digits after the point.
        sql = "(STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW', %s) || '000')"
        return sql, (shift,)


def moment(seconds: float) -> datetime:
    """Unix seconds in the form in which the models hold a time."""
    aware = datetime.fromtimestamp(seconds, UTC)
    if settings.USE_TZ:
        return aware
    return timezone.make_naive(aware, timezone.get_default_timezone())


def local_time(value: datetime) -> datetime:
    """Return a time in the current time zone; with USE_TZ off, unchanged."""
    return timezone.localtime(value) if timezone.is_aware(value) else value


def _local_offset(connection: BaseDatabaseWrapper) -> float:
    """Seconds between UTC and what a column holds: a database may have a zone of its
    own (``TIME_ZONE`` in ``DATABASES``).
    """
    zone = connection.timezone or timezone.get_default_timezone()
    return (datetime.now(zone).utcoffset() or timedelta()).total_seconds()
