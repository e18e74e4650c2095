"""Collected only where the settings are this shop's: ``python -m tests rest``."""

from __future__ import annotations

from django.conf import settings as project

IS_API = "rest_framework" in project.INSTALLED_APPS
collect_ignore_glob = [] if IS_API else ["test_*.py"]
