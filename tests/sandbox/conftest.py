"""A sandbox that knows one business."""

from __future__ import annotations

import pytest

from connectly_tracking.sandbox import Sandbox

from .ask import BUSINESS, KEY


@pytest.fixture
def sandbox():
    with Sandbox(business_id=BUSINESS, api_key=KEY) as sandbox:
        yield sandbox
