"""The arrows between the states: each one conditional UPDATE, which says how many rows
it moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections, models
from django.db.models import F
from django.utils import timezone

from .clock import DbNow
from .states import AWAITING_CLICK, EventName, Reason, State, key_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from .conversion import Conversion  # noqa: F401 - named in quotes below

FINAL = (State.REJECTED, State.EXPIRED, State.SKIPPED)


class ConversionQuerySet(models.QuerySet["Conversion"]):
    def due(self, businesses: Collection[str]) -> ConversionQuerySet:
        """What may be claimed now: waiting, or left behind by a worker that died."""
        # Ordered as the index is, or PostgreSQL reads the whole history; never of one
        # business alone, or MariaDB walks through all that is final first.
        due = self.filter(business__in=[*businesses, ""], due_at__lte=DbNow())
        return due.order_by("business", "due_at")

    def locked(self, *, skip: bool) -> ConversionQuerySet:
        """These rows, held for a change; with ``skip`` without those that others hold.

        SQLite locks as a whole and by a write, and would not let a reader become a
        writer while another one writes.
        """
        features = connections[self.db].features
        if not features.has_select_for_update:
            self.filter(pk=0).update(attempts=0)
        can_skip = features.has_select_for_update_skip_locked
        return self.select_for_update(skip_locked=skip and can_skip)

    def held_by(self, token: UUID) -> ConversionQuerySet:
        """What is still in the hands of the worker that claimed it under this token."""
        return self.filter(state=State.SENDING, lease_token=token)

    def retrying(self, business: str) -> ConversionQuerySet:
        """What waits for another try because the API was in trouble."""
        return self.filter(
            business=business,
            due_at__gt=DbNow(),
            state=State.PENDING,
            attempts__gt=0,
            unconfirmed=0,
        )

    def of_order(self, order_id: str) -> ConversionQuerySet:
        """An order's purchase, in every business. The key alone has no index."""
        return self.filter(
            event_name=EventName.PURCHASE, order_id=order_id, key=key_of(order_id)
        )

    def awaiting_click(self) -> ConversionQuerySet:
        """Skipped for want of a click, which may still come."""
        return self.filter(
            state=State.SKIPPED, reason__in=AWAITING_CLICK, cancelled_at=None
        ).exclude(payload="")

    def replayable(self) -> ConversionQuerySet:
        """What a person may send again: final, not delivered, and its click known."""
        return self.filter(state__in=FINAL).exclude(body="")

    def prunable(self, before: datetime) -> ConversionQuerySet:
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
        """any → delivered: a confirmation wins even with a lost lease."""
        return self.exclude(state=State.DELIVERED).update(
            state=State.DELIVERED,
            reason="",
            detail="",
            due_at=None,
            lease_token=None,
            delivered_at=DbNow(),
        )

    def mark_pending(self, wait: float, *, unconfirmed: int = 0) -> int:
        """sending → pending: an answer, or none, after which it is tried again."""
        return self.update(
            state=State.PENDING,
            lease_token=None,
            due_at=DbNow(wait),
            unconfirmed=F("unconfirmed") + unconfirmed,
            crashes=0,
        )

    def mark_broken(self, wait: float, *, crashes: int) -> int:
        """sending → pending: our own code failed with it."""
        return self.update(
            state=State.PENDING,
            lease_token=None,
            due_at=DbNow(wait),
            crashes=F("crashes") + crashes,
        )

    def mark_rejected(self, reason: Reason, detail: str = "") -> int:
        """sending → rejected."""
        return self._end(State.REJECTED, reason, detail=detail)

    def mark_worn_out(self) -> int:
        """sending with its lease over → rejected: each worker that took it ended."""
        return self._end(
            State.REJECTED, Reason.INTERNAL, detail="Each worker that took it ended."
        )

    def mark_expired(self) -> int:
        """pending, or sending with its lease over → expired."""
        return self._end(State.EXPIRED, Reason.EXPIRED)

    def mark_cancelled(self) -> int:
        """pending → skipped: nobody has it in hand, so it is stopped in time."""
        return self._end(State.SKIPPED, Reason.CANCELLED)

    def mark_withdrawn(self) -> int:
        """pending → skipped: consent was withdrawn, so nothing of it may be sent.

        What waits for a click gets none any more, and what is being sent is not tried
        again, whatever comes of it. In a transaction; returns how many were stopped.
        """
        # Held, so that none is claimed or settled between two of these statements.
        list(self.order_by("pk").locked(skip=False).values_list("pk"))
        waiting = self.awaiting_click().update(
            payload="", reason=Reason.CONSENT_WITHDRAWN
        )
        stopped = self.filter(state=State.PENDING)._end(
            State.SKIPPED, Reason.CONSENT_WITHDRAWN, body=""
        )
        under_way = self.filter(state=State.SENDING, cancelled_at=None)
        under_way.update(cancelled_at=timezone.now())
        return waiting + stopped

    def mark_replayed(self) -> int:
        """rejected, expired or skipped → pending, as if it had just been recorded."""
        return self.replayable().update(
            state=State.PENDING,
            reason="",
            detail="",
            due_at=DbNow(),
            replayed_at=DbNow(),
            cancelled_at=None,
            unconfirmed=0,
            crashes=0,
        )

    def release(self, wait: float = 0, *, unconfirmed: int = 0) -> int:
        """sending → pending: not sent, or with wrong settings; it does not count."""
        return self.update(
            state=State.PENDING,
            lease_token=None,
            due_at=DbNow(wait),
            attempts=F("attempts") - 1,
            unconfirmed=F("unconfirmed") + unconfirmed,
        )

    def _end(self, state: State, reason: Reason, **fields: str) -> int:
        return self.update(
            state=state, reason=reason, due_at=None, lease_token=None, **fields
        )
