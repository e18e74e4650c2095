"""What a person changes: cancels an order, sends one again, pauses a business."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import router, transaction
from django.utils import timezone

from ..api.values import id_text
from ..attribution.clicks import known_business
from ..conf import conf
from ..exceptions import InvalidEvent
from ..models import Circuit, Conversion, DbNow, State, read_committed
from ..signals import delivery_paused, delivery_resumed
from ..wakeup import wake
from .databases import database_for

if TYPE_CHECKING:
    from uuid import UUID

    from ..models import ConversionQuerySet

logger = logging.getLogger(__name__)


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
    using = database_for(using)
    with transaction.atomic(using=using):
        text = id_text(order_id)  # in the savepoint, since a lazy one may make a query
        if not text:
            raise InvalidEvent("order_id", "must be an order id, as passed to Purchase")
        rows = Conversion.objects.using(using).of_order(text)
        if business is not None:
            rows = rows.filter(business=known_business(business))
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


def pause(business: str, *, detail: str = "") -> bool:
    """Pause a business until `resume` is called. False if it is paused already.

    Its orders are recorded and wait; those that are being sent are finished.
    ``detail``: who, and why. Raises InvalidEvent for an unknown business.
    """
    business = known_business(business)
    circuits = Circuit.objects.using(router.db_for_write(Circuit))
    began = circuits.pause(
        business,
        reason=Circuit.Reason.BY_HAND,
        detail=detail,
        paused_until=DbNow(),  # it has no end of its own
    )
    if began:
        logger.warning("delivery_paused business=%s by=hand", business)
        delivery_paused.send_robust(
            Circuit,
            business=business,
            reason=str(Circuit.Reason.BY_HAND),
            detail=detail,
        )
    return bool(began)


def resume(business: str, *, by: str) -> bool:
    """End a pause that a person began. ``by``: who ends it. False if there is none."""
    using = router.db_for_write(Circuit)
    by_hand = Circuit.objects.using(using).filter(reason=Circuit.Reason.BY_HAND)
    with read_committed(using):
        ended = by_hand.resume(business, by=by)
        if ended:
            rows = Conversion.objects.using(using).retrying(business)
            rows.filter(due_at__gt=DbNow()).update(due_at=DbNow())
            transaction.on_commit(wake, using=using)
    if ended:
        logger.info("delivery_resumed business=%s", business)
        delivery_resumed.send_robust(Circuit, business=business)
    return bool(ended)
