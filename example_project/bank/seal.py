"""A signature that only the bank and its merchant can make."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from django.conf import settings

HEADER: Final = "X-Bank-Signature"


def of(body: bytes) -> str:
    key: str = settings.BANK_SECRET
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def is_genuine(body: bytes, signature: str) -> bool:
    # Bytes, since compare_digest accepts only ASCII text.
    return hmac.compare_digest(of(body).encode(), signature.encode())
