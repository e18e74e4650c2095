"""A shop's request for a payment, sent in the URL of the bank's page."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from django.conf import settings
from django.core import signing

_SALT: Final = "example_project.bank"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """``webhook`` is the shop's path for the bank, ``back`` that for the customer."""

    merchant: str
    reference: str
    amount: str
    webhook: str
    back: str

    @classmethod
    def from_sealed(cls, text: str) -> Invoice:
        """Raises BadSignature if it was not signed by a merchant of the bank."""
        return cls(**signing.loads(text, key=settings.BANK_SECRET, salt=_SALT))

    def sealed(self) -> str:
        return signing.dumps(asdict(self), key=settings.BANK_SECRET, salt=_SALT)
