"""Has what was given up sent again, because a person says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import router, transaction

from ..conf import conf
from ..models import Conversion
from ..wakeup import wake

if TYPE_CHECKING:
    from ..models import ConversionQuerySet


def replay(conversions: ConversionQuerySet) -> int:
    """Make pending again what is rejected, expired or skipped. Returns how many rows.

    Only what has a body can be sent, so nothing without a click; and nothing of a
    business that is no longer in the settings. Of a row that was
    refused nobody can know whether Connectly counted it all the same: sent again, it
    goes out with the same order id and the same bytes.
    """
    using = router.db_for_write(Conversion)
    known = conversions.using(using).filter(business__in=list(conf.BUSINESSES))
    moved = known.mark_replayed()
    if moved:
        transaction.on_commit(wake, using=using)
    return moved
