"""Erases the data of a person who asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db import router, transaction
from django.db.models import Q

from ..models import (
    Conversion,
    EventName,
    OrderAttribution,
    State,
    key_of,
    read_committed,
)
from .clicks import stored_clicks

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID


class Erased(NamedTuple):
    """How many clicks were deleted, how many events were stopped before they were sent,
    and how many finished events were emptied. A worker is sending those ``under_way``:
    erase again when it has finished.
    """

    clicks: int
    stopped: int
    emptied: int
    under_way: int


def erase(
    *,
    users: Collection[object] = (),
    orders: Collection[str] = (),
    dry_run: bool = False,
) -> Erased:
    """Erase the clicks of these users (primary keys) and of these orders (ids).

    Events that wait are not sent. The orders keep their id, time, value, campaign and
    ad, as the shop's own books do; the click's ids and the basket are deleted.
    Connectly keeps the events it received, and has no way to take them back. A session
    that still has the click is not changed (`forget` does that).
    """
    using = router.db_for_write(Conversion)
    conversions = Conversion.objects.using(using)
    with read_committed(using):
        clicks = _clicks(users, orders)
        found = conversions.filter(Q(attribution_id__in=clicks) | _purchases(orders))
        rows = conversions.filter(pk__in=[*found.values_list("pk", flat=True)])
        stopped = rows.mark_withdrawn()
        finished = rows.filter(due_at=None).exclude(body="", payload="")
        emptied = finished.update(body="", payload="")
        under_way = rows.filter(state=State.SENDING)
        # Their clicks stay: the next erasure finds these events by them.
        in_use = [*under_way.values_list("attribution_id", flat=True)]
        gone = [pk for pk in clicks if pk not in in_use]
        stored_clicks().filter(pk__in=gone).delete()
        if dry_run:
            transaction.set_rollback(True, using=using)
    return Erased(
        clicks=len(gone), stopped=stopped, emptied=emptied, under_way=len(in_use)
    )


def _clicks(users: Collection[object], orders: Collection[str]) -> list[UUID]:
    conversions = Conversion.objects.using(router.db_for_write(Conversion))
    bindings = OrderAttribution.objects.using(router.db_for_write(OrderAttribution))
    keys = [key_of(order_id) for order_id in orders]
    sold = conversions.filter(_purchases(orders)).values_list("attribution", flat=True)
    bound = bindings.filter(key__in=keys).values_list("attribution", flat=True)
    found = Q(user_id__in=users) | Q(pk__in={*sold, *bound} - {None})
    return list(stored_clicks().filter(found).values_list("pk", flat=True))


def _purchases(orders: Collection[str]) -> Q:
    keys = [key_of(order_id) for order_id in orders]
    return Q(event_name=EventName.PURCHASE, order_id__in=orders, key__in=keys)
