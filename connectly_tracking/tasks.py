"""The Celery tasks: a few lines each, over functions that need no Celery."""

from __future__ import annotations

import math
from typing import Any, Final

from celery import shared_task
from django.core.exceptions import ImproperlyConfigured

from . import delivery, retention
from .conf import conf
from .delivery import shutdown
from .wakeup import TASK, wake


def _lease() -> float:
    try:
        return conf.LEASE
    except ImproperlyConfigured:
        return 120.0  # `check` says what is wrong; a worker must start all the same


#: Seconds for a night's work; what is left over waits for the next night.
PRUNE_LIMIT: Final = 3600

# On the task itself, so that no global of the project's can change what they rest on: a
# message is a nudge, so one that is lost or expires costs nothing but a poll. Celery
# takes None for "as the project says". There are no arguments, so that whatever
# serializer the project accepts will do.
_OPTIONS: Final[dict[str, Any]] = {
    "acks_late": False,
    "ignore_result": True,
    "max_retries": 0,
    "rate_limit": 0,
}


# A run ends by itself long before: the limits are for one that hangs.
@shared_task(
    name=TASK,
    soft_time_limit=math.ceil(2 * _lease()),
    time_limit=math.ceil(2.5 * _lease()),
    **_OPTIONS,
)
def deliver_due() -> None:
    """Send what is due, for half a lease at most; then wake another to go on.

    A worker that is asked to end finishes what is under way, and gives back the rest.
    """
    delivery.deliver(seconds=conf.LEASE / 2, stop=shutdown.is_asked, rouse=wake)


@shared_task(
    name="connectly_tracking.prune",
    soft_time_limit=PRUNE_LIMIT,
    time_limit=PRUNE_LIMIT + 60,
    **_OPTIONS,
)
def prune() -> None:
    """Delete what is old and finished."""
    retention.prune()
