"""The Celery tasks: a few lines each, over functions that do not need Celery."""

from __future__ import annotations

import math
from typing import Any, Final

from celery import shared_task
from django.core.exceptions import ImproperlyConfigured

from . import alerts, delivery, retention
from .conf import conf
from .delivery import shutdown
from .wakeup import DELIVER, PRUNE, WATCH, wake


def _lease() -> float:
    try:
        return conf.LEASE
    except ImproperlyConfigured:
        return 120.0  # `check` reports the problem; a worker must still start


#: Seconds that one night's run may take; the next one deletes the rest.
PRUNE_LIMIT: Final = 3600
WATCH_LIMIT: Final = 120

# Set on the tasks, so that no global Celery setting of the project changes them. If a
# message is lost or expires, the next poll finds the row. None would mean "as the
# project says". Without arguments, any serializer that the project accepts will do.
_OPTIONS: Final[dict[str, Any]] = {
    "acks_late": False,
    "ignore_result": True,
    "max_retries": 0,
    "rate_limit": 0,
}


# A run ends long before these limits; they are for a run that hangs.
@shared_task(
    name=DELIVER,
    soft_time_limit=math.ceil(2 * _lease()),
    time_limit=math.ceil(2.5 * _lease()),
    **_OPTIONS,
)
def deliver_due() -> None:
    """Send due rows, for half a lease at most; then wake another worker.

    A worker that is asked to end finishes its open requests and gives back the rest.
    """
    delivery.deliver(seconds=conf.LEASE / 2, stop=shutdown.is_asked, wake_another=wake)


@shared_task(
    name=PRUNE,
    soft_time_limit=PRUNE_LIMIT,
    time_limit=PRUNE_LIMIT + 60,
    **_OPTIONS,
)
def prune_old() -> None:
    """Delete old rows that are finished."""
    retention.prune()


@shared_task(
    name=WATCH,
    soft_time_limit=WATCH_LIMIT,
    time_limit=WATCH_LIMIT + 60,
    **_OPTIONS,
)
def watch_now() -> None:
    """Report problems that began or ended."""
    alerts.watch()
