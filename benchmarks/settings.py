from __future__ import annotations

from example_project.settings import *  # noqa: F403
from example_project.settings import INSTALLED_APPS

DEBUG = False  # which would keep every query in memory
INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks"]
