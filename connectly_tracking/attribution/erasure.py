"""Erases the data of a person who asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db import router, transaction
from django.db.models import Q

from ..models import (
    Attribution,
    Conversion,
    EventName,
    OrderAttribution,
    State,
    key_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.db.models import QuerySet


class Erased(NamedTuple):
    """Counts: clicks deleted, events stopped before they were sent, finished events
    whose data was deleted, and events that a worker is sending. Those keep their data
    until the worker has finished: erase again then.
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
    with transaction.atomic(using=using):
        clicks = list(_clicks(users, orders).values_list("pk", flat=True))
        rows = Conversion.objects.using(using).filter(
            pk__in=_conversions(clicks, orders)
        )
        stopped = rows.mark_withdrawn()
        finished = rows.filter(due_at=None).exclude(body="", payload="")
        emptied = finished.update(body="", payload="")
        under_way = rows.filter(state=State.SENDING)
        # Their clicks stay: the next erasure finds these events by them.
        in_use = [*under_way.values_list("attribution_id", flat=True)]
        gone = [pk for pk in clicks if pk not in in_use]
        Attribution.objects.using(using).filter(pk__in=gone).delete()
        if dry_run:
            transaction.set_rollback(True, using=using)
    return Erased(
        clicks=len(gone),
        stopped=stopped,
        emptied=emptied,
        under_way=len(in_use),
    )


def _clicks(
    users: Collection[object], orders: Collection[str]
) -> QuerySet[Attribution]:
    using = router.db_for_write(Attribution)
    sold = Conversion.objects.using(using).filter(_of(orders))
    bound = OrderAttribution.objects.using(using).filter(
        key__in=[key_of(order_id) for order_id in orders]
    )
    owed = {
        *sold.values_list("attribution_id", flat=True),
        *bound.values_list("attribution_id", flat=True),
    }
    found = Q(user_id__in=users) | Q(pk__in=owed - {None})
    return Attribution.objects.using(using).filter(found)


def _conversions(clicks: Collection[object], orders: Collection[str]) -> list[int]:
    using = router.db_for_write(Conversion)
    found = Q(attribution_id__in=clicks) | _of(orders)
    rows = Conversion.objects.using(using).filter(found)
    return list(rows.values_list("pk", flat=True))


def _of(orders: Collection[str]) -> Q:
    keys = [key_of(order_id) for order_id in orders]
    return Q(event_name=EventName.PURCHASE, order_id__in=orders, key__in=keys)
