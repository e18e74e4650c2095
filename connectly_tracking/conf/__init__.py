"""The only reader of ``django.conf.settings``: typed, on access.

``settings`` has a property for each setting of ours, ``given`` the dictionary that the
project wrote, ``credentials`` what a business needs.
"""

from __future__ import annotations

from .credentials import VALIDATORS, Business
from .given import spelled
from .settings import DEFAULT_BUSINESS, NAMES, Conf, conf

__all__ = [
    "DEFAULT_BUSINESS",
    "NAMES",
    "VALIDATORS",
    "Business",
    "Conf",
    "conf",
    "spelled",
]
