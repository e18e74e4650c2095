"""The shop, for one test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from connectly_tracking.sandbox import Sandbox

from .brokers import BROKERS
from .crew import PATIENT
from .shop import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Of RabbitMQ there is none in a wheel: its tests want a server by name.
collect_ignore = [] if "CI_AMQP_URL" in os.environ else ["test_rabbitmq.py"]


@pytest.fixture
def sandbox(settings: Any, configure: Any, tmp_path: Path) -> Iterator[Sandbox]:
    """A fake Connectly that logs each request before it answers."""
    business = settings.CONNECTLY_TRACKING
    with Sandbox(
        business_id=business["BUSINESS_ID"],
        api_key=business["API_KEY"],
        log=tmp_path / "requests.jsonl",
    ) as running:
        configure(BASE_URL=running.url)
        yield running


@pytest.fixture
def shop(
    transactional_db: None,
    process_env: dict[str, str],
    sandbox: Sandbox,
    configure: Any,
    tmp_path: Path,
) -> Iterator[Shop]:
    with Shop(tmp_path, process_env, sandbox, configure) as shop:
        yield shop


@pytest.fixture
def patient(shop: Shop) -> None:
    """Of a test that kills nobody who sends: no lease of a busy machine ends in it."""
    shop.configure(**PATIENT)


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, shop: Shop) -> Iterator[str]:
    """The shop's, one after the other. Yields its name."""
    with BROKERS[request.param](shop):
        yield request.param
