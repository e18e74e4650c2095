"""A schedule that the system checks cannot see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps

from ..wakeup import PRUNE, TASK
from .finding import Subject, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Finding


def examine_schedule(app: Any) -> Iterator[Finding]:
    if apps.is_installed("django_celery_beat"):
        models: Any = apps.get_app_config("django_celery_beat")
        rows = models.get_model("PeriodicTask")._default_manager
        enabled = rows.filter(task__in=[TASK, PRUNE], enabled=True)
        kept = set(enabled.values_list("task", flat=True))
        for task in sorted({TASK, PRUNE} - kept):
            text = f"The schedule of django-celery-beat lacks {task}."
            yield found(Subject.CELERY, "schedule_lacks", text)
    elif not str(app.conf.beat_scheduler).startswith("celery.beat"):
        text = f"The schedule is kept by {app.conf.beat_scheduler}."
        yield found(Subject.CELERY, "schedule_elsewhere", text)
