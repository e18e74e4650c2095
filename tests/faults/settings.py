"""The example shop's settings, with what a test has changed, for its processes.

``FAULTS_SETTINGS`` is a JSON object: ``CONNECTLY_TRACKING`` and ``DATABASE`` are laid
over what is there, every other name is a setting itself.
"""

from __future__ import annotations

import json
import os

from example_project.settings import *  # noqa: F403
from example_project.settings import CONNECTLY_TRACKING, DATABASES

DEBUG = False
ROOT_URLCONF = "tests.faults.urls"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"log": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["log"], "level": "INFO"},
}

_changed = json.loads(os.environ["FAULTS_SETTINGS"])
CONNECTLY_TRACKING.update(_changed.pop("CONNECTLY_TRACKING", {}))
DATABASES["default"].update(_changed.pop("DATABASE", {}))
globals().update(_changed)
