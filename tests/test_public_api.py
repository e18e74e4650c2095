"""No public name changes unnoticed."""

from __future__ import annotations

from .public_api import STORED, public_api


def test_it_is_what_is_stored() -> None:
    """After a deliberate change: ``python -m tests.public_api --write``."""
    stored = STORED.read_text().splitlines()
    assert list(dict.fromkeys(public_api())) == stored
