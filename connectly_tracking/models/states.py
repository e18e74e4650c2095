"""The states of a conversion, the reasons for them, and the arrows between them.

::

    recorded ──► pending ◄──────► sending ──► delivered      Connectly confirmed it
       │          ▲   │              │
       │ a click  │   │ cancelled    ├──────► rejected       refused for good
       ▼  came    │   ▼              │
     skipped ─────┘ skipped          └──────► expired        too old (pending, too)

    rejected, expired, skipped ──► pending                   a person replays it

A backfill records an order that is too old as expired at once.

Every arrow that a worker or a person takes is one conditional UPDATE and returns how
many rows it changed; 0 means that another process was first. A confirmation makes a row
delivered whatever its state is. A click that came is written by `attach_late_click` and
`outbox`, under a lock on the row.
`read_committed` is the transaction in which workers take the arrows.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from django.db import connections, models, transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from .clock import DbNow, age_field, ago

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import AbstractContextManager
    from datetime import timedelta
    from uuid import UUID

    from ..conf import Conf
    from .conversion import Conversion  # noqa: F401 - named in quotes below


class EventName(models.TextChoices):
    PURCHASE = "Purchase", _("purchase")
    VIEW_CONTENT = "ViewContent", _("content view")


class State(models.TextChoices):
    PENDING = "pending", _("pending")
    """Waits for `due_at`."""
    SENDING = "sending", _("sending")
    """A worker has it until `due_at`, the end of its lease."""
    DELIVERED = "delivered", _("delivered")
    """Connectly confirmed it."""
    REJECTED = "rejected", _("rejected")
    """Refused or given up; Connectly may have counted it."""
    EXPIRED = "expired", _("expired")
    """Too old to be sent."""
    SKIPPED = "skipped", _("skipped")
    """Not to be sent, for the reason given."""


class Reason(models.TextChoices):
    """Why a conversion is in its state, as a clause that follows "because"."""

    NOT_ATTRIBUTED = "not_attributed", _("no click on a WhatsApp ad is known for it")
    INCOMPLETE_CLICK = (
        "incomplete_click",
        _("the clicked link lacked some of Connectly's parameters"),
    )
    OTHER_SOURCE = (
        "other_source",
        _("its click came from a source that Connectly does not credit"),
    )
    OUTSIDE_WINDOW = (
        "outside_window",
        _("the click was older than the attribution window"),
    )
    CLICK_AFTER_ORDER = (
        "click_after_order",
        _("the ad was clicked after the order was placed"),
    )
    CONSENT_PENDING = (
        "consent_pending",
        _("the customer had not yet given or refused consent"),
    )
    CONSENT_REFUSED = "consent_refused", _("the customer did not give consent")
    CONSENT_WITHDRAWN = (
        "consent_withdrawn",
        _("the customer withdrew consent before Connectly confirmed it"),
    )
    INVALID = "invalid", _("the data from the shop was not valid")
    SENDING_OFF = "sending_off", _("sending was switched off when it was recorded")
    CANCELLED = "cancelled", _("it was cancelled before Connectly confirmed it")
    EXPIRED = "expired", _("it was too old before it could be sent")
    REFUSED = "refused", _("Connectly or Meta refused it")
    UNCONFIRMED = "unconfirmed", _("Connectly never confirmed it")
    INTERNAL = "internal", _("there was an internal error in this app")


#: Skipped because it has no click: a later signal, binding or consent may bring one.
AWAITING_CLICK = (
    Reason.NOT_ATTRIBUTED,
    Reason.INCOMPLETE_CLICK,
    Reason.OTHER_SOURCE,
    Reason.OUTSIDE_WINDOW,
    Reason.CLICK_AFTER_ORDER,
    Reason.CONSENT_PENDING,
)
#: A later signal may replace a row that was skipped for one of these.
REPLACEABLE = (*AWAITING_CLICK, Reason.INVALID)


def key_of(order_id: str) -> str:
    """Return the unique key of an order: the SHA-256 of its id, in hex."""
    return hashlib.sha256(order_id.encode("utf-8", "surrogatepass")).hexdigest()


_CRASHED: Final = "Every worker that tried to send it crashed."
#: The notes about the order, without how it was given up.
_NOTES: Final = Case(
    When(detail=_CRASHED, then=Value("")),
    default=F("detail"),
    output_field=models.TextField(),
)

#: Not final: a worker sends them.
WAITING = (State.PENDING, State.SENDING)
#: Final, and not delivered.
UNDELIVERED = (State.REJECTED, State.EXPIRED, State.SKIPPED)

_READ_COMMITTED: Final = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
_LOGS_STATEMENTS: Final = "SELECT @@log_bin AND @@binlog_format = 'STATEMENT'"


@contextmanager
def read_committed(using: str) -> Iterator[None]:
    """A transaction of a worker or a command: at READ COMMITTED, whatever level the
    project has chosen.

    Above it, InnoDB locks the gaps of the indexes that it reads, in which orders are
    being inserted, and may refuse a row that another worker has changed. PostgreSQL
    refuses such a row, too. Within another transaction this is only a savepoint.
    """
    connection = connections[using]
    connection.ensure_connection()  # its level is known only then
    lowers = not connection.in_atomic_block and _is_above_read_committed(connection)
    if lowers and connection.vendor == "mysql":
        _execute(connection, _READ_COMMITTED)  # of the next transaction alone
    with transaction.atomic(using=using):
        if lowers and connection.vendor == "postgresql":
            _execute(connection, _READ_COMMITTED)
        yield


def statement_read_committed(using: str) -> AbstractContextManager[None]:
    """As `read_committed`, for one statement, which is a transaction by itself."""
    connection = connections[using]
    is_one = connection.get_autocommit() and not _is_above_read_committed(connection)
    return nullcontext() if is_one else read_committed(using)


def _is_above_read_committed(connection: Any) -> bool:
    if connection.vendor == "postgresql":
        return bool(connection.isolation_level.name != "READ_COMMITTED")
    if connection.vendor != "mysql" or connection.isolation_level == "read committed":
        return False
    return not _execute(connection, _LOGS_STATEMENTS)  # they allow no lower level


def _execute(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


class ConversionQuerySet(models.QuerySet["Conversion"]):
    def due(self, businesses: Collection[str]) -> ConversionQuerySet:
        """Rows to claim now: pending, or left behind by a worker that ended."""
        # Ordered as the index is, or PostgreSQL reads the whole history; never of one
        # business alone, or MariaDB walks through all final rows first.
        due = self.filter(business__in=[*businesses, ""], due_at__lte=DbNow())
        return due.order_by("business", "due_at")

    def waiting(self) -> ConversionQuerySet:
        """Rows that are not final. By their state, which has an index of its own."""
        return self.filter(state__in=WAITING)

    def by_business(self) -> Any:
        """Group by ``alias``, the business. By an expression, since SQLite would read
        the whole history in the order of an index that begins with the business.
        """
        return self.order_by().values(alias=Coalesce("business", Value("")))

    def locked(self, *, skip: bool) -> ConversionQuerySet:
        """Lock these rows for a change; ``skip`` leaves out rows that others hold."""
        features = connections[self.db].features
        if not features.has_select_for_update:
            # SQLite locks the whole database, by a write, and does not let a reader
            # become a writer while another one writes.
            self.filter(pk=0).update(attempts=0)
        can_skip = features.has_select_for_update_skip_locked
        return self.select_for_update(skip_locked=skip and can_skip)

    def held_by(self, token: UUID) -> ConversionQuerySet:
        """Rows that still belong to the worker that claimed them under this token."""
        return self.filter(state=State.SENDING, lease_token=token)

    def older_than(self, age: timedelta, settings: Conf = conf) -> ConversionQuerySet:
        """Rows of a greater age. That of a replayed row counts from the replay."""
        limit = ago(age)
        old = self.filter(**{f"{age_field(settings)}__lt": limit})
        return old.exclude(replayed_at__gte=limit)

    def retrying(self, business: str) -> ConversionQuerySet:
        """Rows that are tried again because the API was in trouble."""
        return self.filter(
            business=business, state=State.PENDING, attempts__gt=0, unconfirmed=0
        )

    def of_order(self, order_id: str) -> ConversionQuerySet:
        """An order's purchase, in every business. The key alone has no index."""
        return self.filter(
            event_name=EventName.PURCHASE, order_id=order_id, key=key_of(order_id)
        )

    def awaiting_click(self) -> ConversionQuerySet:
        """Rows that were skipped because they have no click, and may still get one."""
        return self.filter(
            state=State.SKIPPED, reason__in=AWAITING_CLICK, cancelled_at=None
        ).exclude(payload="")

    def replayable(self) -> ConversionQuerySet:
        """Rows that a person may send again: final, not delivered, with a click."""
        return self.filter(state__in=UNDELIVERED).exclude(body="")

    def prunable(self, before: DbNow) -> ConversionQuerySet:
        return self.filter(due_at=None, recorded_at__lt=before)

    def mark_sending(self, token: UUID, lease: float, *, crashes: int = 0) -> int:
        """pending, or sending with its lease over → sending."""
        return self.update(
            state=State.SENDING,
            lease_token=token,
            due_at=DbNow(lease),
            attempts=F("attempts") + 1,
            crashes=F("crashes") + crashes,
        )

    def mark_delivered(self) -> int:
        """any → delivered: a confirmation wins even after the lease was lost.

        `write_confirmed` sets the same columns, of rows that were not given up.
        """
        return self.exclude(state=State.DELIVERED).update(
            detail=_NOTES,
            state=State.DELIVERED,
            reason="",
            due_at=None,
            lease_token=None,
            ended_at=None,
            delivered_at=DbNow(),
        )

    def mark_pending(self, wait: float, *, unconfirmed: int = 0) -> int:
        """sending → pending: try again after an answer, or after none."""
        return self._free(wait, crashes=0, unconfirmed=F("unconfirmed") + unconfirmed)

    def mark_internal_error(self, wait: float, *, crashes: int) -> int:
        """sending → pending: try again after an error in this app."""
        return self._free(wait, crashes=F("crashes") + crashes)

    def release(self, wait: float = 0, *, unconfirmed: int = 0) -> int:
        """sending → pending: not sent, or sent with wrong settings.

        Takes the attempt off ``attempts`` again; ``unconfirmed`` may still grow.
        """
        return self._free(
            wait,
            attempts=F("attempts") - 1,
            unconfirmed=F("unconfirmed") + unconfirmed,
        )

    def mark_rejected(self, reason: Reason) -> int:
        """sending → rejected."""
        return self._end(State.REJECTED, reason)

    def mark_crashed(self) -> int:
        """sending with its lease over → rejected: each worker that sent it ended."""
        return self._end(State.REJECTED, Reason.INTERNAL, detail=_CRASHED)

    def mark_expired(self) -> int:
        """pending, or sending with its lease over → expired."""
        return self._end(State.EXPIRED, Reason.EXPIRED)

    def mark_cancelled(self) -> int:
        """pending, or sending with its lease over → skipped.

        Also if consent was withdrawn while it was being sent, which its reason says.
        """
        withdrawn = Reason.CONSENT_WITHDRAWN
        return self._end(
            State.SKIPPED,
            Case(
                When(reason=withdrawn, then=Value(withdrawn)),
                default=Value(Reason.CANCELLED),
            ),
        )

    def mark_withdrawn(self) -> int:
        """pending → skipped: consent was withdrawn, so the row may not be sent.

        Rows that wait for a click get none any more. Rows that are being sent get the
        reason and are not tried again, but may still be confirmed. Needs a transaction.
        Returns how many rows were stopped.
        """
        # Locked, so that none is claimed or settled between two of these statements.
        list(self.order_by("pk").locked(skip=False).values_list("pk"))
        waiting = self.awaiting_click().update(
            payload="", reason=Reason.CONSENT_WITHDRAWN
        )
        stopped = self.filter(state=State.PENDING)._end(
            State.SKIPPED, Reason.CONSENT_WITHDRAWN, body=""
        )
        under_way = self.filter(state=State.SENDING)
        under_way.update(reason=Reason.CONSENT_WITHDRAWN)
        return waiting + stopped

    def mark_replayed(self) -> int:
        """rejected, expired or skipped → pending, as if it had just been recorded."""
        return self.replayable().update(
            detail=_NOTES,
            state=State.PENDING,
            reason="",
            due_at=DbNow(),
            ended_at=None,
            replayed_at=DbNow(),
            cancelled_at=None,
            unconfirmed=0,
            crashes=0,
        )

    def _free(self, wait: float, **fields: object) -> int:
        # The next claim ends a row that may not be sent any more.
        due_at = Case(
            When(reason=Reason.CONSENT_WITHDRAWN, then=DbNow()), default=DbNow(wait)
        )
        return self.update(
            state=State.PENDING, lease_token=None, due_at=due_at, **fields
        )

    def _end(self, state: State, reason: Reason | Case, **fields: str) -> int:
        # MySQL sets the columns in this order: the reason must come later.
        body = Case(
            When(reason=Reason.CONSENT_WITHDRAWN, then=Value("")),
            default=F("body"),
            output_field=models.TextField(),
        )
        return self.update(
            body=fields.pop("body", body),
            state=state,
            reason=reason,
            due_at=None,
            lease_token=None,
            ended_at=DbNow(),
            **fields,
        )
