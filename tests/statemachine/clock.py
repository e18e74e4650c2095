"""A clock that only moves when a test moves it.

The database's clock shows the same time, because leases and due times use it. An
example can therefore be repeated to the millisecond.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

from django.db import connection
from django.utils import timezone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Far enough back: no event may lie ahead of the real time.
START: Final = datetime(2020, 1, 1, tzinfo=UTC)

# Found before PostgreSQL's own, whose schema is searched last.
_POSTGRESQL: Final = """
CREATE SCHEMA clock;
CREATE FUNCTION clock.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT current_setting('clock.now')::timestamptz $$;
SET LOCAL search_path = clock, public, pg_catalog;
"""


class Clock:
    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        """Replace `time.monotonic`."""
        return -self.until(START)

    def later(self, seconds: float) -> datetime:
        return self._now + timedelta(seconds=seconds)

    def until(self, at: datetime) -> float:
        """Return the seconds from now until then."""
        return (at - self._now).total_seconds()

    def go_on(self, seconds: float) -> None:
        self._now = self.later(seconds)
        self._show()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show this time. Call it in a transaction that is rolled back afterwards."""
        if connection.vendor == "sqlite":
            _replace_strftime(self._strftime)
        elif connection.vendor == "postgresql":
            _execute(_POSTGRESQL)
        self._show()
        try:
            with patch.object(timezone, "now", self.now):
                yield
        finally:
            if connection.vendor == "sqlite":
                # Not None: SQLite's own does not come back in its place.
                _replace_strftime(_real_strftime)
            elif connection.vendor == "mysql":
                _execute("SET timestamp = DEFAULT")

    def _show(self) -> None:
        if connection.vendor == "postgresql":
            _execute(f"SET LOCAL clock.now = '{self._now.isoformat()}'")
        elif connection.vendor == "mysql":
            _execute(f"SET timestamp = {self._now.timestamp():.6f}")

    def _strftime(self, pattern: str, _now: str, shift: str) -> str:
        """Replace the part of SQLite's function that the models use."""
        assert (pattern, _now) == ("%Y-%m-%d %H:%M:%f", "NOW")
        seconds, _, unit = shift.partition(" ")
        assert unit == "seconds"
        at = self.later(float(seconds))
        return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _replace_strftime(function: Callable[[str, str, str], str]) -> None:
    """Twice: statements that are prepared already keep SQLite's own function when ours
    is added beside it, and are prepared anew only when a function is replaced.
    """
    for _ in range(2):
        connection.connection.create_function("strftime", 3, function)


def _real_strftime(_pattern: str, _now: str, shift: str) -> str:
    """Do what SQLite's function does, for the models' one pattern."""
    at = datetime.now(UTC) + timedelta(seconds=float(shift.partition(" ")[0]))
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"
