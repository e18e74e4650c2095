"""Reads ``CONNECTLY_TRACKING``; nothing else in the package does.

``conf`` has a typed property for each setting, ``conf.raw`` is the dictionary that the
project wrote, and ``conf.business(alias)`` returns a business's credentials.
"""

from __future__ import annotations

from .businesses import DEFAULT_BUSINESS, VALIDATORS, Business
from .reader import setting_path
from .settings import MAIL_ADMINS, NAMES, Conf, conf

__all__ = [
    "DEFAULT_BUSINESS",
    "MAIL_ADMINS",
    "NAMES",
    "VALIDATORS",
    "Business",
    "Conf",
    "conf",
    "setting_path",
]
