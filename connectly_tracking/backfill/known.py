"""Finds the orders that have their row, many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..conf import conf
from ..models import Conversion, EventName

if TYPE_CHECKING:
    from collections.abc import Iterable


def settled(
    ids: Iterable[tuple[str, str]], business: str | None, using: str
) -> set[str]:
    """Of these orders the keys of those whose row nothing here can change. One SELECT.

    ``ids`` are pairs of an order's key and its id as the table shows it. Of several
    businesses an order's click decides, so that each must be looked at by itself.
    """
    names = dict(ids)
    aliases = list(conf.BUSINESSES)
    if business is None and len(aliases) > 1:
        return set()
    # By the id, which has an index; a collation may find more than was asked for.
    rows = Conversion.objects.using(using).filter(
        event_name=EventName.PURCHASE,
        business=business or aliases[0],
        order_id__in=list(names.values()),
    )
    found = rows.only("key", "state", "reason", "cancelled_at")
    return {row.key for row in found if row.key in names and not row.is_replaceable}
