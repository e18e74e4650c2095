"""Writes down confirmed attempts in one statement, on PostgreSQL.

Nearly all results are confirmations of rows that their worker still holds. The ORM
needs three statements in a transaction for them, and more time than the database.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from django.db import connections

from .conversion import Conversion
from .delivery import DeliveryAttempt
from .pause import TROUBLE, Circuit
from .states import State
from .transitions import statement_read_committed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

#: Of an attempt, in the order of the statement's values.
_COLUMNS: Final = {
    "id": "uuid",
    "conversion_id": "bigint",
    "started_at": "timestamptz",
    "finished_at": "timestamptz",
    "outcome": "text",
    "status_code": "int",
    "detail": "text",
}


def can_write_at_once(using: str) -> bool:
    """Whether `write_confirmed` works on this database."""
    return connections[using].vendor == "postgresql"


def write_confirmed(
    attempts: Sequence[DeliveryAttempt],
    tokens: Sequence[UUID],
    *,
    business: str,
    using: str,
) -> dict[int, bool]:
    """sending → delivered, for the rows that are still held under these tokens and that
    no other transaction has locked. Writes their attempts, and no others.

    Returns the keys of these rows, each with whether the business is paused or its
    last answers were not good.
    """
    columns = [[getattr(it, name) for it in attempts] for name in _COLUMNS]
    with statement_read_committed(using), connections[using].cursor() as cursor:
        cursor.execute(_statement(using), [*columns, list(tokens), business])
        return dict(cursor.fetchall())


@cache
def _statement(using: str) -> str:
    quote = connections[using].ops.quote_name
    tables: dict[str, Any] = {
        model.__name__: quote(model._meta.db_table)
        for model in (Conversion, DeliveryAttempt, Circuit)
    }
    names = ", ".join(_COLUMNS)
    arrays = ", ".join([f"%s::{kind}[]" for kind in _COLUMNS.values()])
    finished = [name for name in _COLUMNS if name not in {"id", "conversion_id"}]
    return _SQL.format(
        **tables,
        arrays=arrays,
        names=names,
        replaced=", ".join([f"{name} = EXCLUDED.{name}" for name in finished]),
        trouble=TROUBLE,
        sending=State.SENDING.value,
        delivered=State.DELIVERED.value,
    )


_SQL: Final = """\
WITH result AS (
  SELECT * FROM unnest({arrays}, %s::uuid[]) AS result ({names}, token)
), held AS (
  SELECT conversion.id FROM {Conversion} AS conversion
  JOIN result ON result.conversion_id = conversion.id
  WHERE conversion.state = '{sending}' AND conversion.lease_token = result.token
  FOR UPDATE OF conversion SKIP LOCKED
), done AS (
  UPDATE {Conversion} AS conversion
  SET state = '{delivered}', reason = '', due_at = NULL, lease_token = NULL,
    ended_at = NULL, delivered_at = STATEMENT_TIMESTAMP()
  FROM held WHERE conversion.id = held.id RETURNING conversion.id
), written AS (
  INSERT INTO {DeliveryAttempt} ({names})
  SELECT {names} FROM result WHERE conversion_id IN (SELECT id FROM done)
  ON CONFLICT (id) DO UPDATE SET {replaced}
)
SELECT id, COALESCE((SELECT {trouble} FROM {Circuit} WHERE business = %s), FALSE)
FROM done
"""
