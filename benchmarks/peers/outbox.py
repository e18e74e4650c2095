"""The app of django-celery-outbox: its tasks are rows until a relay sends them."""

from __future__ import annotations

from django_celery_outbox import OutboxCelery

from .post import post

app = OutboxCelery("outbox", set_as_current=False)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_default_queue = "outbox"
send = app.task(name="benchmarks.outbox.send", ignore_result=True)(post)
