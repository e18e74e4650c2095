"""The example shop with the API of docs/developer/rest.md."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "rest_framework", "rest_framework.authtoken"]
ROOT_URLCONF = "tests.rest_framework_package.urls"
SECRET_KEY = "long enough for the signature of a JSON web token"
DATABASES["default"]["TEST"] = {"NAME": f"{DATABASES['default']['NAME']}_rest"}
