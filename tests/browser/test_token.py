"""From the browser inside an app to the customer's own, which knows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectly_tracking.models import Conversion, Reason

from .customer import QUERY, assert_delivered, session

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from connectly_tracking.sandbox import Sandbox

    from .servers import Shop


def pay(browser: Browser, url: str) -> None:
    """In a browser that has never been here."""
    page = browser.new_context().new_page()
    assert page.context.cookies() == []
    page.goto(url)
    assert not session(page.context)
    page.get_by_role("button", name="Pay").click()
    page.get_by_role("heading", name="Thank you").wait_for()
    assert not session(page.context)


def test_a_token_carries_the_click_to_another_browser(
    shop: Shop, page: Page, chromium: Browser, sandbox: Sandbox
) -> None:
    page.goto(f"{shop.url}/?{QUERY}")
    page.goto(f"{shop.url}/message/")
    link = page.get_by_role("link", name="Pay in your browser")
    url = link.evaluate("(link) => link.href")
    page.context.close()
    pay(chromium, url)
    assert_delivered(sandbox)


def test_without_the_token_the_other_browser_has_no_click(
    shop: Shop, page: Page, chromium: Browser
) -> None:
    page.goto(f"{shop.url}/?{QUERY}")
    pay(chromium, f"{shop.url}/pay/")
    assert Conversion.objects.get().reason == Reason.NOT_ATTRIBUTED
