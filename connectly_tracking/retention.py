"""Deletes old rows that are finished."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import router

from .attribution.cookie import COOKIE_AGE
from .conf import conf
from .models import (
    PAYLOAD_KEPT_FOR,
    Attribution,
    Conversion,
    OrderAttribution,
    Pause,
    ago,
    greatest_age,
    read_committed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

MAX_PRUNED_AT_ONCE: Final = 1000  # rows in one transaction


class Pruned(NamedTuple):
    """How many rows were deleted, or would be."""

    attributions: int
    conversions: int


def prune(*, dry_run: bool = False) -> Pruned:
    """Delete final conversions older than RETENTION, and clicks that no order can use.

    A click is also kept for the attribution window, and a conversion for as long as its
    order could be recorded and sent once more.
    """
    kept = conf.RETENTION
    clicks_kept = max(kept, conf.ATTRIBUTION_WINDOW or timedelta())
    clicks = _stored(Attribution.objects.prunable(ago(clicks_kept)))
    conversions = _stored(Conversion.objects.prunable(ago(max(kept, greatest_age()))))
    if dry_run:
        return Pruned(attributions=clicks.count(), conversions=conversions.count())
    old = Conversion.objects.filter(recorded_at__lt=ago(PAYLOAD_KEPT_FOR))
    for part in _parts(_stored(old.exclude(payload=""))):
        with read_committed(part.db):
            part.update(payload="")  # no click will come any more
    bindings = OrderAttribution.with_erased.filter(bound_at__lt=ago(clicks_kept))
    if conf.ATTRIBUTION_WINDOW is None:
        # A session could still have the erased click that it is about.
        bindings = bindings.exclude(business="", bound_at__gte=ago(COOKIE_AGE))
    _delete(_stored(bindings))
    _delete(_stored(Pause.objects.filter(ended__lt=ago(kept))))
    return Pruned(attributions=_delete(clicks), conversions=_delete(conversions))


def _stored(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.using(router.db_for_write(rows.model)).order_by()


def _parts(rows: QuerySet[Any]) -> Iterator[QuerySet[Any]]:
    """A part at a time, so that locks are short and memory use is constant."""
    while keys := list(rows.values_list("pk", flat=True)[:MAX_PRUNED_AT_ONCE]):
        yield rows.model._base_manager.using(rows.db).filter(pk__in=keys)


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    for part in _parts(rows):
        with read_committed(part.db):
            _total, counts = part.delete()
        deleted += counts.get(rows.model._meta.label, 0)
    return deleted
