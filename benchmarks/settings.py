from __future__ import annotations

from example_project.settings import *  # noqa: F403

DEBUG = False  # which would keep every query in memory
CELERY_IMPORTS = ["benchmarks.tasks"]
