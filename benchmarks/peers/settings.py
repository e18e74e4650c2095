"""A shop that has every peer that is installed, set up as its documentation says."""

from __future__ import annotations

from importlib.util import find_spec

from benchmarks.settings import *  # noqa: F403
from benchmarks.settings import DATABASES, INSTALLED_APPS

APPS = {
    "django_celery_outbox": "django_celery_outbox",
    "django_outbox_pattern": "django_outbox_pattern",
    "django_ox": "django_ox",
    "django_tasks_db": "django_tasks_db",
    "procrastinate": "procrastinate.contrib.django",
}
FOUND = [module for module in APPS if find_spec(module)]
INSTALLED_APPS = [*INSTALLED_APPS, *(APPS[module] for module in FOUND)]
# Some of them ask for it.
DATABASES["default"]["CONN_MAX_AGE"] = 600

BACKENDS = {
    "django_tasks_db": "django_tasks_db.DatabaseBackend",
    "django_ox": "django_ox.backend.OxBackend",
}
TASKS = {
    "default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"},
    **{name: {"BACKEND": BACKENDS[name]} for name in FOUND if name in BACKENDS},
}
CELERY_OUTBOX_APP = "benchmarks.peers.outbox.app"
PROCRASTINATE_IMPORT_PATHS = ["benchmarks.peers.procrastinates"]
