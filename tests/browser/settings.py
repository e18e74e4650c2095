"""The example shop's settings, for a shop behind names of its own.

``BROWSER_SETTINGS`` is a JSON object of settings that a test has changed.
"""

from __future__ import annotations

import json
import os

from example_project.settings import *  # noqa: F403

DEBUG = False
ROOT_URLCONF = "tests.browser.urls"
ALLOWED_HOSTS = [".shop.localhost"]

globals().update(json.loads(os.environ["BROWSER_SETTINGS"]))
