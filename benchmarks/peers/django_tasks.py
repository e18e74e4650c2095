"""The function as a task of Django's own, for each backend that is installed.

A worker finds a task by its module and name, so each has one of its own.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

from .post import post

try:
    from django.tasks import task
except ImportError:  # before Django 6.0
    from django_tasks import task  # type: ignore[no-redef]

send_by_ox: Any = None
send_by_tasks_db: Any = None

if "django_ox" in settings.TASKS:

    @task(backend="django_ox")
    def send_by_ox(body: str) -> None:
        post(body)


if "django_tasks_db" in settings.TASKS:

    @task(backend="django_tasks_db")
    def send_by_tasks_db(body: str) -> None:
        post(body)
