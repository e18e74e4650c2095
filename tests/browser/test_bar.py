"""The bar at the foot of the example shop, which tells what the app has done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .customer import QUERY, assert_delivered

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from connectly_tracking.sandbox import Sandbox

    from .servers import Shop


def test_it_follows_an_order_from_the_bank_to_its_delivery(
    shop: Shop, page: Page, sandbox: Sandbox
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{shop.url}/?{QUERY}")
    bar = page.get_by_label("What the app did")
    bar.get_by_text("Click captured: campaign send-1, ad 120210").wait_for()

    page.get_by_role("link", name="Tee").click()
    page.get_by_role("button", name="Add to cart").click()
    page.get_by_role("link", name="Go to checkout").click()
    page.get_by_label("Bank").check()
    page.get_by_role("button", name="Place the order").click()
    page.get_by_role("button", name="Decline").click()
    bar.get_by_text("placed, not paid yet").wait_for()
    page.get_by_role("link", name="Pay at the bank").click()
    page.get_by_role("button", name="Pay", exact=True).click()
    bar.get_by_text("Waits to be sent").wait_for()

    assert_delivered(sandbox)
    bar.get_by_text("Delivered").wait_for()
    assert page.title().startswith("Order ORD-")
    assert {url for url in asked if not url.startswith(shop.url)} == set()
