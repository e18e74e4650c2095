"""An Oscar shop as Oscar's own documentation sets one up, and one line of ours."""

from __future__ import annotations

import os
import tempfile

import dj_database_url
import oscar
from oscar.defaults import *  # noqa: F403

if "DATABASE_URL" not in os.environ:
    _directory = tempfile.TemporaryDirectory(prefix="connectly-")  # goes with us
    os.environ["DATABASE_URL"] = f"sqlite:///{_directory.name}/db"

SECRET_KEY = "tests"
ALLOWED_HOSTS = ["testserver"]
SITE_ID = 1
INSTALLED_APPS = [
    *oscar.INSTALLED_APPS,
    "connectly_tracking",
    "connectly_tracking.contrib.oscar",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "connectly_tracking.middleware.AttributionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "oscar.apps.basket.middleware.BasketMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
]
AUTHENTICATION_BACKENDS = ["oscar.apps.customer.auth_backends.EmailBackend"]
ROOT_URLCONF = "tests.contrib_oscar.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "oscar.apps.search.context_processors.search_form",
                "oscar.apps.checkout.context_processors.checkout",
                "oscar.apps.communication.notifications.context_processors.notifications",
                "oscar.core.context_processors.metadata",
            ],
        },
    },
]
DATABASES = {"default": dj_database_url.config() | {"ATOMIC_REQUESTS": True}}
DATABASES["default"]["TEST"] = {"NAME": f"{DATABASES['default']['NAME']}_oscar"}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"].setdefault("OPTIONS", {})["transaction_mode"] = "IMMEDIATE"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_URL = "static/"
TIME_ZONE = "Europe/London"
USE_TZ = True
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
HAYSTACK_CONNECTIONS = {
    "default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"},
}
HAYSTACK_SIGNAL_PROCESSOR = "haystack.signals.BaseSignalProcessor"  # indexes nothing
OSCAR_THUMBNAILER = "tests.contrib_oscar.shop.NoThumbnails"
OSCAR_DEFAULT_CURRENCY = "GBP"
OSCAR_ALLOW_ANON_CHECKOUT = True
OSCAR_INITIAL_ORDER_STATUS = "Pending"
OSCAR_INITIAL_LINE_STATUS = "Pending"
OSCAR_ORDER_STATUS_PIPELINE = {
    "Pending": ("Paid", "Cancelled"),
    "Paid": ("Shipped", "Cancelled"),
    "Shipped": (),
    "Cancelled": (),
}

CONNECTLY_TRACKING = {
    "BUSINESS_ID": "3f2b8c1e-5d4a-4b6f-9a7e-0c1d2e3f4a5b",
    "API_KEY": "key-for-tests-only",
    "BASE_URL": "http://127.0.0.1:9",
    "STRICT": False,
}
# No broker: `deliver` is called by name.
CELERY_BROKER_URL = None
