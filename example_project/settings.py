"""The example shop's settings; the environment overrides some of them."""

from __future__ import annotations

import os
from pathlib import Path

import dj_database_url
from celery.schedules import crontab

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = os.environ.get("SECRET_KEY", "django-insecure-for-development-only")
DEBUG = os.environ.get("DEBUG", "true").lower() in {"1", "true", "yes", "on"}
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "connectly_tracking",
    "example_project.shop",
    "example_project.bank",
    "example_project.demo",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "connectly_tracking.middleware.AttributionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "example_project.urls"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "example_project.shop.context.visitor",
            ],
        },
    },
]

DATABASES = {
    "default": dj_database_url.config(default=f"sqlite:///{BASE_DIR}/example.sqlite3"),
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Without this, simultaneous orders fail with "database is locked".
    DATABASES["default"].setdefault("OPTIONS", {})["transaction_mode"] = "IMMEDIATE"

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
# Each visitor's browser chooses among them, in the shop and in the admin.
LANGUAGE_CODE = "en"
LANGUAGES = [
    ("en", "English"),
    ("es", "Español"),
    ("pt-br", "Português do Brasil"),
]
LOCALE_PATHS = [BASE_DIR / "example_project" / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

# The fake bank and the shop sign their messages with it.
BANK_SECRET = os.environ.get("BANK_SECRET", "insecure-for-development-only")

CONNECTLY_TRACKING = {
    "BUSINESS_ID": os.environ.get("CONNECTLY_BUSINESS_ID"),
    "API_KEY": os.environ.get("CONNECTLY_API_KEY"),
    "BASE_URL": os.environ.get("CONNECTLY_BASE_URL", "https://api.connectly.ai"),
    "ORDER_ADAPTER": "example_project.shop.tracking.purchase",
}

# Without a broker no worker is woken, and orders wait for `connectly_deliver`.
CELERY_BROKER_URL = os.environ.get("REDIS_URL")
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": os.environ.get("REDIS_PREFIX", ""),
}
CELERY_BEAT_SCHEDULE = {
    "connectly-deliver": {
        "task": "connectly_tracking.deliver_due",
        "schedule": float(os.environ.get("CONNECTLY_POLL", "30")),
    },
    "connectly-prune": {
        "task": "connectly_tracking.prune",
        "schedule": crontab(hour=4, minute=0),
    },
    "connectly-watch": {"task": "connectly_tracking.watch", "schedule": 300},
}
