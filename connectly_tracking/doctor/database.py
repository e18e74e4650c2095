"""Whether our tables are there, take rows, and keep the same time as this machine.

All of it happens in one transaction that is rolled back.
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.db import DatabaseError, Error, connections, router, transaction
from django.db.migrations.executor import MigrationExecutor

from ..models import Conversion, DbNow, EventName, Reason, State, moment
from .clock import skew_code, skew_words
from .finding import Subject, found, one_line
from .guard import guarded
from .patience import TooLongError, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .finding import Finding

    Check = Callable[[str], Iterable[Finding]]

PATIENCE: Final = 5.0  # seconds

_LIMITS: Final = {
    "postgresql": (
        "SET LOCAL lock_timeout = '3s'",
        "SET LOCAL statement_timeout = '5s'",
    ),
    "mysql": (
        "SET SESSION lock_wait_timeout = 3",
        "SET SESSION innodb_lock_wait_timeout = 3",
    ),
}
_LIFT: Final = {
    "mysql": (
        "SET SESSION lock_wait_timeout = DEFAULT",
        "SET SESSION innodb_lock_wait_timeout = DEFAULT",
    ),
}
_CHARSETS: Final = {
    "postgresql": "SHOW server_encoding",
    "mysql": (
        "SELECT character_set_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND column_name = 'detail' "
        "AND table_name = 'connectly_tracking_conversion'"
    ),
}


def examine_database(*then: Check) -> list[Finding]:
    """Itself, and where all is well in it what ``then`` finds in our tables."""
    using = router.db_for_write(Conversion)
    try:
        within(PATIENCE, partial(_reach, using))
        with _undone(using):
            return _examine(using, then)
    except TooLongError:
        text = f"The database {using!r} says nothing for {PATIENCE:g} s."
        return [found(Subject.DATABASE, "database_mute", text)]
    except Error as exc:
        return [_fault(using, exc, otherwise="database_unreachable")]


def _examine(using: str, then: Iterable[Check]) -> list[Finding]:
    fault, skew = None, 0.0
    try:
        with transaction.atomic(using=using):
            skew = _try_a_row(using)
    except DatabaseError as exc:
        fault = _fault(using, exc, otherwise="database_refuses")
    checks: list[Check] = [_missing_migrations]
    findings = _guarded(using, checks)
    if findings or fault:
        return findings or ([fault] if fault else [])
    findings = _guarded(using, [partial(_clock, skew=skew), _charset])
    if not findings:
        vendor = connections[using].vendor
        text = f"{using} ({vendor}) takes our rows; its clock and this one agree."
        findings = [found(Subject.DATABASE, "database_ok", text)]
    return findings + _guarded(using, then)


def _guarded(using: str, checks: Iterable[Check]) -> list[Finding]:
    findings: list[Finding] = []
    for check in checks:

        def run(check: Check = check) -> list[Finding]:
            # Of its own, or what fails in one would end the others' transaction.
            with transaction.atomic(using=using):
                return list(check(using))

        findings += guarded(Subject.DATABASE, run)
    return findings


def _reach(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT 1")


@contextmanager
def _undone(using: str) -> Iterator[None]:
    """A transaction that is rolled back, in which no statement waits for long."""
    vendor = connections[using].vendor
    try:
        with transaction.atomic(using=using):
            _run(using, _LIMITS.get(vendor, ()))
            try:
                yield
            finally:
                transaction.set_rollback(True, using=using)
    finally:
        _run(using, _LIFT.get(vendor, ()))


def _run(using: str, statements: Iterable[str]) -> None:
    for statement in statements:
        with connections[using].cursor() as cursor:
            cursor.execute(statement)


def _try_a_row(using: str) -> float:
    """Write one and read it back. How far the database's clock is ahead, in seconds."""
    rows = Conversion.objects.using(using)
    trial = Conversion(
        event_name=EventName.PURCHASE,
        key=uuid.uuid4().hex,
        state=State.SKIPPED,
        reason=Reason.NOT_ATTRIBUTED,
        recorded_at=DbNow(),
    )
    began = time.time()
    rows.bulk_create([trial])  # which tells no receiver of the shop's
    middle = (began + time.time()) / 2
    kept: Any = rows.get(key=trial.key).recorded_at
    return float((kept - moment(middle)).total_seconds())


def _missing_migrations(using: str) -> Iterator[Finding]:
    executor, label = MigrationExecutor(connections[using]), Conversion._meta.app_label
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == label]
    plan = executor.migration_plan(targets)
    names = [step.name for step, _ in plan if step.app_label == label]
    if names:
        text = f"{using} lacks our migrations {', '.join(names)}."
        yield found(Subject.DATABASE, "migrations_missing", text)


def _clock(_using: str, *, skew: float) -> Iterator[Finding]:
    if code := skew_code("database", skew):
        text = skew_words("The database's", skew)
        yield found(Subject.DATABASE, code, text)


def _charset(using: str) -> Iterator[Finding]:
    query = _CHARSETS.get(connections[using].vendor)
    if query is None:
        return
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    charset = str(row[0]) if row else "unknown"
    if charset.lower() not in {"utf8", "utf8mb4"}:
        text = f"Our tables hold text as {charset}, which lacks most letters."
        yield found(Subject.DATABASE, "database_charset", text)


def _fault(using: str, exc: Error, *, otherwise: str) -> Finding:
    words, code = str(exc).lower(), otherwise
    if any(it in words for it in ("read-only", "readonly", "read only")):
        code = "database_read_only"
    elif "locked" in words or "lock wait" in words or "lock timeout" in words:
        code = "database_locked"
    text = f"{using}: {one_line(f'{type(exc).__name__}: {exc}')}"
    return found(Subject.DATABASE, code, text)
