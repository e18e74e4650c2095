"""What is old and finished goes."""

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

SLICE: Final = 1000  # rows in one transaction
#: How long an order without a click keeps what it would need to be sent.
MENDABLE_FOR: Final = timedelta(days=2)


class Pruned(NamedTuple):
    """How many rows went, or would go."""

    attributions: int
    conversions: int


def prune(*, dry_run: bool = False) -> Pruned:
    """Delete final conversions past RETENTION, and clicks that no order can still owe.

    A click is kept as long as the attribution window, too; a conversion as long as its
    order could be recorded and sent once more.
    """
    now, kept = timezone.now(), conf.RETENTION
    clicks_kept = max(kept, conf.ATTRIBUTION_WINDOW or timedelta())
    clicks = Attribution.objects.prunable(now - clicks_kept)
    conversions = Conversion.objects.prunable(min(now - kept, oldest_sent()))
    if dry_run:
        return Pruned(attributions=_count(clicks), conversions=_count(conversions))
    _empty(Conversion.objects.filter(recorded_at__lt=now - MENDABLE_FOR))
    _delete(OrderAttribution.objects.filter(bound_at__lt=now - clicks_kept))
    return Pruned(attributions=_delete(clicks), conversions=_delete(conversions))


def _count(rows: QuerySet[Any]) -> int:
    return rows.using(router.db_for_write(rows.model)).count()


def _empty(rows: ConversionQuerySet) -> None:
    """No click will come any more: what the customer bought is nobody's business."""
    using = router.db_for_write(Conversion)
    rows = rows.using(using).exclude(payload="").order_by()
    while ids := list(rows.values_list("pk", flat=True)[:SLICE]):
        Conversion.objects.using(using).filter(pk__in=ids).update(payload="")


def _delete(rows: QuerySet[Any]) -> int:
    """In slices, so that no lock is held for long and memory stays flat."""
    using = router.db_for_write(rows.model)
    rows, deleted = rows.using(using).order_by(), 0
    while ids := list(rows.values_list("pk", flat=True)[:SLICE]):
        with transaction.atomic(using=using):
            _total, by_model = (
                rows.model.objects.using(using).filter(pk__in=ids).delete()
            )
        deleted += by_model.get(rows.model._meta.label, 0)
    return deleted
