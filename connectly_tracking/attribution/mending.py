"""An order that was skipped for want of a click gets one after all."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import router, transaction

from ..api.body import body_json
from ..conf import DEFAULT_BUSINESS, conf
from ..exceptions import InvalidEvent
from ..models import Conversion, Reason, State
from ..wakeup import wake
from .credit import fault_of

if TYPE_CHECKING:
    from ..models import Attribution, ConversionQuerySet


def mend(rows: ConversionQuerySet, click: Attribution) -> int:
    """Give these orders this click. Returns how many can be sent now.

    Only those that still want one change; where the click earns nothing by an order,
    the order says so from now on.
    """
    if click.business not in conf.BUSINESSES:
        return 0  # nobody would ever send it
    using, moved = router.db_for_write(Conversion), 0
    with transaction.atomic(using=using):
        for row in rows.using(using).wanting().locked(skip=False):
            if _may_have(row, click, using):
                moved += _mend(row, click)
        if moved and not conf.HOLD:
            transaction.on_commit(wake, using=using)
    return moved


def _may_have(row: Conversion, click: Attribution, using: str) -> bool:
    if row.business == click.business:
        return True
    # Behind another host it is the same order, unless the click's business has its own.
    own = Conversion.objects.using(using).filter(
        event_name=row.event_name, business=click.business, key=row.key
    )
    return row.business == DEFAULT_BUSINESS and not own.exists()


def _mend(row: Conversion, click: Attribution) -> bool:
    if row.event_time is None:
        return False
    row.credit(click)
    row.business = click.business
    reason = fault_of(click, row.event_time)
    if reason is None:
        try:
            row.body = body_json(row.event_name, row.payload, click.landing)
        except InvalidEvent as exc:
            reason, row.detail = Reason.INVALID, str(exc)
    if reason is not None:
        row.reason = reason
        row.save()
        return False
    details = json.loads(row.payload, parse_float=Decimal, parse_int=Decimal)
    row.value, row.currency = details.get("value"), details.get("currency", "")
    row.payload = ""
    row.schedule()
    row.save()
    return row.state == State.PENDING
