"""What ``manage.py check`` says of the settings and of the project around us."""

from __future__ import annotations

from django.core import checks

from .celery import check_celery
from .credentials import check_credentials, check_credentials_deployed
from .project import check_databases, check_middleware
from .settings import SETTING_IDS, check_settings

__all__ = [
    "SETTING_IDS",
    "check_celery",
    "check_credentials",
    "check_credentials_deployed",
    "check_databases",
    "check_middleware",
    "check_settings",
    "register",
]


def register() -> None:
    """Called once the app registry is ready."""
    checks.register(check_settings, checks.Tags.compatibility)
    checks.register(check_credentials, checks.Tags.security)
    checks.register(check_credentials_deployed, checks.Tags.security, deploy=True)
    checks.register(check_middleware, checks.Tags.compatibility)
    checks.register(check_databases, checks.Tags.compatibility)
    checks.register(check_celery, checks.Tags.compatibility)
