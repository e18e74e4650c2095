"""Corrects what was recorded: cancels an order, or sends one again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import router, transaction
from django.utils import timezone

from ..api.values import id_text
from ..attribution.clicks import known_business
from ..conf import conf
from ..exceptions import InvalidEvent
from ..models import Conversion, State, read_committed
from ..wakeup import wake

if TYPE_CHECKING:
    from uuid import UUID

    from ..models import ConversionQuerySet


def cancel(
    order_id: str | int | UUID,
    *,
    business: str | None = None,
    using: str | None = None,
) -> list[Conversion]:
    """Cancel an order's purchase, in the caller's transaction if there is one.

    A purchase that waits is skipped. One that is being sent, or was sent, keeps its
    state: Connectly cannot take it back. The time is noted, it is not tried again, and
    no later signal revives it. Without ``business`` it is cancelled in every business.

    Returns the order's rows, none if it was never recorded. Raises InvalidEvent for a
    wrong ``order_id`` or ``business``, and any database error.
    """
    text = id_text(order_id)
    if not text:
        raise InvalidEvent("order_id", "must be an order id, as passed to Purchase")
    using = using or router.db_for_write(Conversion)
    rows = Conversion.objects.using(using).of_order(text)
    if business is not None:
        rows = rows.filter(business=known_business(business))
    with transaction.atomic(using=using):
        cancel_rows(rows)
        return list(rows)


def cancel_rows(rows: ConversionQuerySet) -> None:
    """As `cancel`, for rows of any business. Call this in a transaction."""
    rows.filter(cancelled_at=None).update(cancelled_at=timezone.now())
    rows.filter(state=State.PENDING).mark_cancelled()


def replay(rows: ConversionQuerySet) -> int:
    """Make rejected, expired or skipped rows pending again. Return how many.

    Rows without a click, or of a business that is not in the settings, stay as they
    are. Connectly may have counted a refused event: the same bytes are sent again.
    """
    using = router.db_for_write(Conversion)
    known = rows.using(using).filter(business__in=list(conf.BUSINESSES))
    with read_committed(using):
        moved = known.mark_replayed()
    if moved:
        transaction.on_commit(wake, using=using)
    return moved
