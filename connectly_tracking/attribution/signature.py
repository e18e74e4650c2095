"""A click's id as a signed text, for those who carry it and must not change it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

if TYPE_CHECKING:
    from collections.abc import Iterable

# 45 characters of [A-Za-z0-9_-]: a version, the row's id and a signature. It tells
# nothing about the customer.
_VERSION: Final = "1"


def sign_id(click_id: UUID, *, salt: str) -> str:
    """Return the id as a signed text of 45 characters of ``[A-Za-z0-9_-]``."""
    return _signed(_VERSION + _base64(click_id.bytes), salt, settings.SECRET_KEY)


def read_id(text: str, *, salt: str) -> UUID:
    """Return the id. Raises ValueError unless `sign_id` made the text by this salt."""
    keys: Iterable[str | bytes] = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    for key in keys:
        if constant_time_compare(text, _signed(text[:-22], salt, key)):
            return UUID(bytes=base64.urlsafe_b64decode(f"{text[1:-22]}=="))
    raise ValueError("not signed here")


def names_id(text: str, click_id: UUID) -> bool:
    """Whether the text is of this id, signed or not."""
    return text[:-22] == _VERSION + _base64(click_id.bytes)


def _signed(text: str, salt: str, key: str | bytes) -> str:
    digest = salted_hmac(salt, text, secret=key, algorithm="sha256").digest()
    return text + _base64(digest[:16])


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
