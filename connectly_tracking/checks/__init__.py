"""The system checks: ``manage.py check``. None of them calls a callable API_KEY."""

from __future__ import annotations

from django.core import checks

from .project import check_celery, check_databases, check_middleware
from .settings import (
    SETTING_IDS,
    check_credentials,
    check_credentials_deployed,
    check_settings,
)

__all__ = ["SETTING_IDS", "register_checks"]


def register_checks() -> None:
    """Register all checks. The app registry must be ready."""
    for check in (check_settings, check_middleware, check_databases, check_celery):
        checks.register(check, checks.Tags.compatibility)
    checks.register(check_credentials, checks.Tags.security)
    checks.register(check_credentials_deployed, checks.Tags.security, deploy=True)
