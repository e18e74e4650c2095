"""Stops what has not been sent when its order is cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import router, transaction
from django.utils import timezone

from ..api.values import id_text
from ..attribution import known_business
from ..exceptions import InvalidEvent
from ..models import Conversion, State

if TYPE_CHECKING:
    from uuid import UUID


def cancel(
    order_id: str | int | UUID,
    *,
    business: str | None = None,
    using: str | None = None,
) -> list[Conversion]:
    """Cancel an order's purchase, in the caller's transaction if there is one.

    What nobody has in hand yet is skipped. What is being sent, or has been, keeps its
    state, since Connectly has no way to take a purchase back; the time is noted, it is
    not tried again, and no later signal revives it. Without ``business`` the order is
    cancelled in every business.

    Returns the order's rows as they now are: none where the order was never recorded.
    Raises InvalidEvent where ``order_id`` is no order's id or ``business`` is not in
    the settings, and what the database raises, after rolling back to where it began.
    """
    text = id_text(order_id)
    if not text:
        raise InvalidEvent("order_id", "is no order's id; pass what Purchase was given")
    using = using or router.db_for_write(Conversion)
    rows = Conversion.objects.using(using).of_order(text)
    if business is not None:
        rows = rows.filter(business=known_business(business))
    with transaction.atomic(using=using):
        rows.filter(cancelled_at=None).update(cancelled_at=timezone.now())
        rows.filter(state=State.PENDING).mark_cancelled()
        return list(rows)
