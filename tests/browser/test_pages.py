"""The shop's and the sandbox's pages, for everybody and on every screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectly_tracking.delivery import deliver

from .accessibility import assert_accessible
from .customer import QUERY, buy

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from connectly_tracking.sandbox import Sandbox

    from .servers import Shop


@pytest.fixture(
    params=[("light", 1280), ("dark", 390)], ids=["light-wide", "dark-phone"]
)
def screen(request: pytest.FixtureRequest, chromium: Browser) -> Page:
    scheme, width = request.param
    context = chromium.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    return context.new_page()


def test_from_the_ad_to_the_thank_you_page(shop: Shop, screen: Page) -> None:
    screen.goto(f"{shop.url}/?{QUERY}")
    assert_readable(screen)
    screen.get_by_role("link", name="Tee").click()
    screen.wait_for_url("**/product/tee/")
    assert_readable(screen)
    screen.goto(f"{shop.url}/")
    buy(screen)
    assert_readable(screen)


def test_the_sandbox(shop: Shop, screen: Page, sandbox: Sandbox) -> None:
    screen.goto(sandbox.url)
    assert_readable(screen)
    sandbox.behave(["ok", "400:no"])
    other = screen.context.new_page()
    for _ in range(2):
        other.goto(f"{shop.url}/?{QUERY}")
        buy(other)
        deliver()
    screen.locator(".cards > li").nth(1).wait_for()
    assert_readable(screen)


def assert_readable(page: Page) -> None:
    assert_accessible(page)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= page.evaluate("innerWidth"), f"{page.url} is {wide} px wide"
