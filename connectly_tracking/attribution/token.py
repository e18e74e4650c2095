"""A click as a word that any payment provider will carry and give back.

The row's id and a signature: 45 characters of ``[A-Za-z0-9_-]``, which fit the metadata
of every provider. It says nothing about the customer, and is of no use to anybody else.
"""

from __future__ import annotations

import base64
import binascii
import logging
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from ..exceptions import InvalidEvent
from .capture import click_of
from .rows import savepoint

if TYPE_CHECKING:
    from django.http import HttpRequest

VERSION: Final = "1"
_SALT: Final = "connectly_tracking.attribution.token"
_SIGNATURE: Final = 16  # bytes
_LENGTH: Final = 1 + 22 + 22

logger = logging.getLogger(__name__)


def make_token(request: HttpRequest) -> str:
    """The visitor's click as a token for an order that does not exist yet.

    Hand it to the payment provider, and what comes back to ``order_completed`` as
    ``token=``. Without a click it is ``""``, which means none. Never raises.
    """
    try:
        with savepoint():
            click = click_of(request, at=timezone.now())
        return "" if click is None else write(click.pk)
    except Exception as exc:  # noqa: BLE001 - the checkout goes on, whatever it was
        logger.error("token_not_made error=%s", type(exc).__name__)
        return ""


def write(click_id: UUID) -> str:
    name = VERSION + _text(click_id.bytes)
    return name + _signature(name, settings.SECRET_KEY)


def read(token: object) -> UUID | None:
    """The click's id; None for ``""``. Raises InvalidEvent for what is no token."""
    if not isinstance(token, str):
        raise InvalidEvent("token", "is no text; pass what make_token() returned")
    if not token:
        return None
    name, signature = token[:-22], token[-22:]
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if len(token) != _LENGTH or not any(
        constant_time_compare(signature, _signature(name, key)) for key in keys
    ):
        raise InvalidEvent(
            "token", "was cut, changed or made elsewhere; pass it as make_token() did"
        )
    try:
        return UUID(bytes=base64.urlsafe_b64decode(f"{name[1:]}=="))
    except (ValueError, binascii.Error):
        raise InvalidEvent("token", "is of another version") from None


def _signature(name: str, key: str | bytes) -> str:
    digest = salted_hmac(_SALT, name, secret=key, algorithm="sha256").digest()
    return _text(digest[:_SIGNATURE])


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
