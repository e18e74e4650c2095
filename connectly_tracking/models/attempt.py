"""Written by the workers: each attempt at sending a conversion.

Confirmed attempts are written in one statement on PostgreSQL. Nearly all results are
confirmations of rows that their worker still holds. The ORM needs three statements in a
transaction for them, and more time than the database.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from .conversion import Conversion
from .pause import TROUBLE, Circuit
from .states import State, statement_read_committed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self
    from uuid import UUID


class DeliveryAttempt(models.Model):
    """One attempt at sending a conversion, written with its result.

    An attempt without an end has an unknown outcome, and is shown as such: its worker
    ended, and the next one wrote that. `under_way` is one that is not written yet.
    """

    class Outcome(models.TextChoices):
        CONFIRMED = "confirmed", _("confirmed")
        UNCONFIRMED = "unconfirmed", _("not confirmed")
        REFUSED = "refused", _("refused")
        TRANSIENT = "transient", _("refused for now")
        CONFIGURATION = "configuration", _("wrong settings")
        THROTTLED = "throttled", _("told to wait")
        UNAVAILABLE = "unavailable", _("API unavailable")
        NOT_SENT = "not_sent", _("not sent")
        UNKNOWN = "unknown", _("unknown")
        INTERNAL = "internal", _("internal error in this app")

    # Made of the claim's token and the row, so that every worker can write it.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversion = models.ForeignKey(
        "Conversion",
        on_delete=models.CASCADE,
        # A deleted row must not keep the rows settled with it from being settled.
        db_constraint=False,
        related_name="delivery_attempts",
    )
    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"), null=True)
    outcome = models.CharField(
        _("outcome"), max_length=16, choices=Outcome, default=Outcome.UNKNOWN
    )
    status_code = models.PositiveSmallIntegerField(_("status"), null=True)
    detail = models.TextField(
        _("answer"), blank=True, help_text=_("Connectly's or the network's message.")
    )

    class Meta:
        verbose_name = _("delivery attempt")
        verbose_name_plural = _("delivery attempts")
        ordering: ClassVar = ["started_at"]

    def __str__(self) -> str:
        return str(self.pk)

    @classmethod
    def under_way(cls, conversion: Conversion) -> Self | None:
        """The attempt of a row that a worker has claimed, or left behind."""
        if conversion.state != State.SENDING or conversion.due_at is None:
            return None
        lease = 0.0
        with suppress(ImproperlyConfigured):  # `check` reports the problem
            lease = conf.LEASE
        started_at = conversion.due_at - timedelta(seconds=lease)
        return cls(conversion=conversion, started_at=started_at)


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


#: Sets the columns of `ConversionQuerySet.mark_delivered`, for rows not given up.
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
