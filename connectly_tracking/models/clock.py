"""Times: the database's own clock, and how old or late a row may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db.models import DateTimeField, Func
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from ..conf import conf

if TYPE_CHECKING:
    from ..conf import Conf

    Sql = tuple[str, tuple[Any, ...]]

#: How long a row may wait if MAX_EVENT_AGE is None: none waits for ever.
MAX_AGE: Final = timedelta(days=30)
#: Workers poll every 30 seconds; a row that missed four polls has no worker.
OVERDUE: Final = 120.0  # seconds

#: How long an order without a click keeps what it needs to be sent if a click comes.
PAYLOAD_KEPT_FOR: Final = timedelta(days=2)


class DbNow(Func):
    """The database's time, plus a number of seconds, in the form that columns hold.

    Django's ``Now()`` is the session's local time on MySQL, where columns hold UTC, and
    UTC on SQLite even if ``USE_TZ`` is off and columns hold local time.
    """

    output_field = DateTimeField()

    def __init__(self, seconds: float = 0) -> None:
        super().__init__()
        self.seconds = round(seconds, 3)

    def as_sql(self, compiler: Any, connection: Any, **_kwargs: Any) -> Sql:  # type: ignore[override]
        raise NotImplementedError(f"{connection.vendor} is not supported")

    def as_postgresql(self, compiler: Any, connection: Any, **_kwargs: Any) -> Sql:
        return "(STATEMENT_TIMESTAMP() + make_interval(secs => %s))", (self.seconds,)

    def as_mysql(self, compiler: Any, connection: Any, **_kwargs: Any) -> Sql:
        micros = round((self.seconds + _local_offset(connection)) * 1_000_000)
        return "(UTC_TIMESTAMP(6) + INTERVAL %s MICROSECOND)", (micros,)

    def as_sqlite(self, compiler: Any, connection: Any, **_kwargs: Any) -> Sql:
        shift = f"{self.seconds + _local_offset(connection):+.3f} seconds"
        # Times are text there, and Django writes six digits after the point.
        sql = "(STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW', %s) || '000')"
        return sql, (shift,)


def moment(seconds: float) -> datetime:
    """Return Unix seconds as a datetime in the form that the models hold."""
    aware = datetime.fromtimestamp(seconds, UTC)
    if settings.USE_TZ:
        return aware
    return timezone.make_naive(aware, timezone.get_default_timezone())


def local_time(value: datetime) -> datetime:
    """Return a time in the current time zone, or as it is if it is naive."""
    return timezone.localtime(value) if timezone.is_aware(value) else value


def zoned_text(value: datetime) -> str:
    """Return a time for people, in the current time zone, such as ``2026-11-21 14:02
    UTC-03``: the zone by its name or, if it has none, by its offset. The format of the
    date belongs to the language.
    """
    if timezone.is_naive(value):
        local = value.replace(tzinfo=timezone.get_default_timezone())
    else:
        local = timezone.localtime(value)
    zone = local.tzname() or ""
    written = date_format(local, _("Y-m-d H:i"))
    return f"{written} {'UTC' if zone[:1] in '+-' else ''}{zone}".rstrip()


def is_overdue(due_at: datetime | None) -> bool:
    """Whether a row has been due for so long that no worker seems to be running."""
    return due_at is not None and due_at < timezone.now() - timedelta(seconds=OVERDUE)


def greatest_age(settings: Conf = conf) -> timedelta:
    """Return the age at which an event is given up, counted from `age_field`."""
    return MAX_AGE if settings.MAX_EVENT_AGE is None else settings.MAX_EVENT_AGE


def age_field(settings: Conf = conf) -> str:
    """Return the field of a conversion from which its age counts.

    Without MAX_EVENT_AGE an order may be however old when it is recorded.
    """
    return "recorded_at" if settings.MAX_EVENT_AGE is None else "event_time"


def ago(age: timedelta) -> DbNow:
    """The time so long ago, by the database's clock: this process's may be wrong."""
    return DbNow(-age.total_seconds())


def _local_offset(connection: Any) -> float:
    """Return the seconds between UTC and the times in the database's columns.

    A database may have a time zone of its own (``TIME_ZONE`` in ``DATABASES``).
    """
    zone = connection.timezone or timezone.get_default_timezone()
    return (datetime.now(zone).utcoffset() or timedelta()).total_seconds()
