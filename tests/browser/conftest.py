"""A browser, a shop, a cache, and what a customer does there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from example_project.shop.models import Product

from . import installed, servers
from .servers import Cdn, Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from example_project.demo.supervisor import Supervisor


@pytest.fixture
def supervisor(
    transactional_db: None, process_env: dict[str, str], tmp_path: Path
) -> Iterator[Supervisor]:
    with servers.start(tmp_path, process_env) as supervisor:
        yield supervisor


@pytest.fixture
def cdn(supervisor: Supervisor) -> Cdn:
    return Cdn(supervisor)


@pytest.fixture
def product(transactional_db: None) -> None:
    Product.objects.update_or_create(
        sku="tee", defaults={"name": "Tee", "price": "49.99", "currency": "USD"}
    )


@pytest.fixture
def shop(supervisor: Supervisor, cdn: Cdn, product: None) -> Shop:
    return Shop(supervisor, cdn)


@pytest.fixture
def unseeing_shop(supervisor: Supervisor, cdn: Cdn, product: None) -> Shop:
    """It knows of a landing only what a page tells it."""
    return Shop(supervisor, cdn, **servers.without_middleware())


@pytest.fixture
def chromium(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """Driven, and ended with all its windows."""
    if (path := installed.chromium()) is None:
        pytest.fail("There is no chromium on the PATH; CHROMIUM may name one.")
    # Playwright keeps an event loop in this thread, and Django takes it for async code.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=path,
            args=installed.FLAGS,
            ignore_default_args=["--disable-back-forward-cache"],
        )


@pytest.fixture
def page(chromium: Browser) -> Page:
    """A new customer's."""
    return chromium.new_context().new_page()
