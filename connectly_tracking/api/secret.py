"""A string that must not be shown."""

from __future__ import annotations

import json
from typing import Final, final

MASK: Final = "***"


@final
class Secret:
    """Wraps the API key, so that printing, logging or pickling it shows ``***``."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the string itself: for the request's header and nothing else."""
        return self._text

    def mask(self, text: str) -> str:
        """Return a text with the secret replaced by stars."""
        for form in {self._text, json.dumps(self._text)[1:-1]} - {""}:
            text = text.replace(form, MASK)
        return text

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return Secret, (MASK,)
