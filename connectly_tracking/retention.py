"""Deletes old rows that are finished."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import router, transaction
from django.utils import timezone

from .conf import conf
from .models import Attribution, Conversion, OrderAttribution, oldest_sent

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from .models import ConversionQuerySet

MAX_PRUNED_AT_ONCE: Final = 1000  # rows in one transaction
#: How long an order without a click keeps what it needs to be sent if a click comes.
PAYLOAD_KEPT_FOR: Final = timedelta(days=2)


class Pruned(NamedTuple):
    """How many rows were deleted, or would be."""

    attributions: int
    conversions: int


def prune(*, dry_run: bool = False) -> Pruned:
    """Delete final conversions older than RETENTION, and clicks that no order can use.

    A click is also kept for the attribution window, and a conversion for as long as its
    order could be recorded and sent once more.
    """
    now, kept = timezone.now(), conf.RETENTION
    clicks_kept = max(kept, conf.ATTRIBUTION_WINDOW or timedelta())
    clicks = Attribution.objects.prunable(now - clicks_kept)
    conversions = Conversion.objects.prunable(min(now - kept, oldest_sent()))
    if dry_run:
        return Pruned(attributions=_count(clicks), conversions=_count(conversions))
    _clear_payloads(Conversion.objects.filter(recorded_at__lt=now - PAYLOAD_KEPT_FOR))
    _delete(OrderAttribution.objects.filter(bound_at__lt=now - clicks_kept))
    return Pruned(attributions=_delete(clicks), conversions=_delete(conversions))


def _count(rows: QuerySet[Any]) -> int:
    return rows.using(router.db_for_write(rows.model)).count()


def _clear_payloads(rows: ConversionQuerySet) -> None:
    """No click will come any more, so there is no reason to keep what was bought."""
    using = router.db_for_write(Conversion)
    rows = rows.using(using).exclude(payload="").order_by()
    while keys := list(rows.values_list("pk", flat=True)[:MAX_PRUNED_AT_ONCE]):
        Conversion.objects.using(using).filter(pk__in=keys).update(payload="")


def _delete(rows: QuerySet[Any]) -> int:
    """A part at a time, so that locks are short and memory use is constant."""
    model, using, deleted = rows.model, router.db_for_write(rows.model), 0
    rows = rows.using(using).order_by()
    while keys := list(rows.values_list("pk", flat=True)[:MAX_PRUNED_AT_ONCE]):
        with transaction.atomic(using=using):
            _total, counts = model.objects.using(using).filter(pk__in=keys).delete()
        deleted += counts.get(model._meta.label, 0)
    return deleted
