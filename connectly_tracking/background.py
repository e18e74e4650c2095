"""What the Celery task ``deliver_due`` does, for Django 6.0's own tasks."""

from __future__ import annotations

from django.tasks import DEFAULT_TASK_QUEUE_NAME, task
from django.utils.module_loading import import_string

from .conf import conf
from .wakeup import wake


@task(queue_name=conf.QUEUE or DEFAULT_TASK_QUEUE_NAME)
def deliver_in_background() -> None:
    """Send due rows, for half a lease at most; then wake another worker."""
    # By its name: a page that enqueues this does not load the worker's half of the app.
    deliver = import_string("connectly_tracking.delivery.deliver")
    deliver(seconds=conf.LEASE / 2, wake_another=wake)
