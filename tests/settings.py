"""The example shop's settings, on the database that ``DATABASE_URL`` names."""

from __future__ import annotations

import atexit
import os
import tempfile

# A file and not memory: threads and other processes must see it too.
if "DATABASE_URL" not in os.environ:
    _directory = tempfile.TemporaryDirectory(prefix="connectly-")
    atexit.register(_directory.cleanup)
    os.environ["DATABASE_URL"] = f"sqlite:///{_directory.name}/db"

from example_project.settings import *  # noqa: F403
from example_project.settings import DATABASES, MIDDLEWARE

# Pages are compared with those of a shop that speaks one language.
MIDDLEWARE.remove("django.middleware.locale.LocaleMiddleware")

DATABASES["default"]["TEST"] = {
    "NAME": f"{DATABASES['default']['NAME']}_test",
}

DEBUG = False
SECRET_KEY = "tests"
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CONNECTLY_TRACKING = {
    "BUSINESS_ID": "3f2b8c1e-5d4a-4b6f-9a7e-0c1d2e3f4a5b",
    "API_KEY": "key-for-tests-only",
    "BASE_URL": "http://127.0.0.1:9",
    "ORDER_ADAPTER": "example_project.shop.tracking.purchase",
    "STRICT": False,  # type: ignore[dict-item]
}
# No broker but the one that a test names.
CELERY_BROKER_URL = None
