"""Findings on the database: it has our tables, accepts rows and keeps the right time.

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
from django.utils.translation import gettext as _

from ..findings import Subject, found, one_line
from ..models import Conversion, DbNow, EventName, Reason, State, moment
from .check import found_skew, run_check, with_timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ..findings import Finding

    _Check = Callable[[str], Iterable[Finding]]

CONNECT_LIMIT: Final = 5.0  # seconds

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
_NO_LIMITS: Final = {
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
#: The name of the variable depends on the server.
_ISOLATION: Final = {
    "postgresql": "SHOW transaction_isolation",
    "mysql": (
        "SHOW SESSION VARIABLES "
        "WHERE Variable_name IN ('tx_isolation', 'transaction_isolation')"
    ),
}


def examine_database(*checks: _Check) -> list[Finding]:
    """Examine the database, then run ``checks`` on our rows if it is usable."""
    using = router.db_for_write(Conversion)
    try:
        with_timeout(CONNECT_LIMIT, partial(_execute, using, ["SELECT 1"]))
        with _rolled_back(using):
            return _examine(using, checks)
    except TimeoutError:
        text = _("The database '%(name)s' does not answer within %(seconds)s s.")
        text %= {"name": using, "seconds": f"{CONNECT_LIMIT:g}"}
        return [found(Subject.DATABASE, "database_mute", text)]
    except Error as exc:
        return [_problem(using, exc, "database_unreachable")]


def _examine(using: str, checks: Iterable[_Check]) -> list[Finding]:
    refusal: list[Finding] = []
    skew = 0.0
    try:
        with transaction.atomic(using=using):
            skew = _write_a_row(using)
            # At once, or the other checks would take it for an order.
            transaction.set_rollback(True, using=using)
    except DatabaseError as exc:
        refusal = [_problem(using, exc, "database_refuses")]
    # A missing migration explains a refusal.
    if findings := _run_checks(using, [_missing_migrations]) or refusal:
        return findings
    findings = [
        *found_skew(Subject.DATABASE, skew),
        *_run_checks(using, [_charset, _isolation]),
    ]
    if not findings:
        text = _(
            "%(name)s (%(vendor)s) accepts rows, and its clock agrees with this one."
        )
        text %= {"name": using, "vendor": connections[using].vendor}
        findings = [found(Subject.DATABASE, "database_ok", text)]
    return findings + _run_checks(using, [examine_pool, *checks])


def examine_pool(using: str) -> Iterator[Finding]:
    """Find a pool of connections that Celery's processes do not keep."""
    if connections[using].settings_dict.get("OPTIONS", {}).get("pool"):
        text = _(
            "%(name)s has a connection pool. Celery closes it before and after each "
            "task."
        )
        text %= {"name": using}
        yield found(Subject.DATABASE, "database_pool", text)


def _run_checks(using: str, checks: Iterable[_Check]) -> list[Finding]:
    def run(check: _Check) -> list[Finding]:
        # In a savepoint, or a failed statement would end the others' transaction.
        with transaction.atomic(using=using):
            return list(check(using))

    return [
        finding
        for check in checks
        for finding in run_check(Subject.DATABASE, partial(run, check))
    ]


@contextmanager
def _rolled_back(using: str) -> Iterator[None]:
    """A transaction that is rolled back, in which no statement waits for long."""
    vendor = connections[using].vendor
    try:
        with transaction.atomic(using=using):
            _execute(using, _LIMITS.get(vendor, ()))
            try:
                yield
            finally:
                transaction.set_rollback(True, using=using)
    finally:
        _execute(using, _NO_LIMITS.get(vendor, ()))


def _execute(using: str, statements: Iterable[str]) -> None:
    for statement in statements:
        with connections[using].cursor() as cursor:
            cursor.execute(statement)


def _write_a_row(using: str) -> float:
    """Write a row, read it, and return how far the database is ahead, in seconds."""
    rows = Conversion.objects.using(using)
    row = Conversion(
        event_name=EventName.PURCHASE,
        key=uuid.uuid4().hex,
        state=State.SKIPPED,
        reason=Reason.NOT_ATTRIBUTED,
        recorded_at=DbNow(),
    )
    began = time.time()
    rows.bulk_create([row])  # sends no signal to the shop
    middle = (began + time.time()) / 2
    recorded_at: Any = rows.get(key=row.key).recorded_at
    return float((recorded_at - moment(middle)).total_seconds())


def _missing_migrations(using: str) -> Iterator[Finding]:
    executor, label = MigrationExecutor(connections[using]), Conversion._meta.app_label
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == label]
    plan = executor.migration_plan(targets)
    names = [step.name for step, _back in plan if step.app_label == label]
    if names:
        text = _("In %(name)s, migrations of %(app)s are not applied: %(migrations)s.")
        text %= {"name": using, "app": label, "migrations": ", ".join(names)}
        yield found(Subject.DATABASE, "migrations_missing", text)


def _charset(using: str) -> Iterator[Finding]:
    charset = _ask(using, _CHARSETS)
    if charset is None:
        return
    if charset.lower() not in {"utf8", "utf8mb4"}:
        text = _(
            "The tables use the character set %(charset)s, which cannot store most "
            "characters."
        )
        text %= {"charset": charset}
        yield found(Subject.DATABASE, "database_charset", text)


def _isolation(using: str) -> Iterator[Finding]:
    if "isolation_level" in connections[using].settings_dict.get("OPTIONS", {}):
        return  # a system check reports it
    level = (_ask(using, _ISOLATION) or "read committed").replace("-", " ").lower()
    if level not in {"read committed", "read uncommitted"}:
        text = _("%(name)s: transactions run at %(level)s, and not at read committed.")
        text %= {"name": using, "level": level}
        yield found(Subject.DATABASE, "database_isolation", text)


def _ask(using: str, queries: Mapping[str, str]) -> str | None:
    """Return the value that this database's query finds, or None without a query."""
    query = queries.get(connections[using].vendor)
    if query is None:
        return None
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    return str(row[-1]) if row else "unknown"


def _problem(using: str, exc: Error, code: str) -> Finding:
    """Make a finding of an error, by its message; ``code`` if that says nothing."""
    message = str(exc).lower()
    if any(it in message for it in ("read-only", "readonly", "read only")):
        code = "database_read_only"
    elif any(it in message for it in ("locked", "lock wait", "lock timeout")):
        code = "database_locked"
    text = f"{using}: {one_line(f'{type(exc).__name__}: {exc}')}"
    return found(Subject.DATABASE, code, text)
