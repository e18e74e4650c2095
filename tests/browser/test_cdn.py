"""A landing page that Django never serves, with docs/developer/caches.md's script."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectly_tracking.models import Attribution, Conversion, Reason

from .customer import QUERY, assert_delivered, buy, session, until_known
from .pages import publish

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from connectly_tracking.sandbox import Sandbox

    from .servers import Cdn, Shop

#: What old browsers lack.
NO_BEACON = "delete Navigator.prototype.sendBeacon"
NO_KEEPALIVE = "delete Request.prototype.keepalive"
#: Notes the ways that were taken, and what nobody caught.
WATCHED = """
window.ways = [];
for (const [owner, name] of [[Navigator.prototype, "sendBeacon"], [window, "fetch"]]) {
  const way = owner[name];
  if (way) owner[name] = function (...given) {
    ways.push(name);
    return way.apply(this, given);
  };
}
window.broken = [];
addEventListener("unhandledrejection", (event) => broken.push(String(event.reason)));
"""


def test_an_order_from_a_cached_page_is_delivered(
    shop: Shop, cdn: Cdn, page: Page, sandbox: Sandbox
) -> None:
    page.goto(f"{publish(cdn, shop)}?{QUERY}")
    until_known(page, shop)
    buy(page)
    assert shop.told == 1
    assert_delivered(sandbox)


def test_a_link_whose_names_are_encoded_is_told_too(
    shop: Shop, cdn: Cdn, page: Page, sandbox: Sandbox
) -> None:
    encoded = QUERY.replace("cnct_tracking_id", "cnct%5Ftracking%5Fid")
    page.goto(f"{publish(cdn, shop)}?{encoded}")
    until_known(page, shop)
    buy(page)
    assert_delivered(sandbox)


def test_a_policy_that_allows_the_shop_and_nothing_else_is_enough(
    shop: Shop, cdn: Cdn, page: Page, sandbox: Sandbox
) -> None:
    policy = f"default-src 'none'; script-src {shop.url}; connect-src {shop.url}"
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    page.goto(f"{publish(cdn, shop, head)}?{QUERY}")
    until_known(page, shop)
    buy(page)
    assert_delivered(sandbox)


@pytest.mark.parametrize(
    ("lacking", "ways"),
    [
        ("", ["fetch"]),
        (NO_BEACON, ["fetch"]),
        (NO_KEEPALIVE, ["sendBeacon"]),
        (f"{NO_BEACON};{NO_KEEPALIVE}", ["fetch"]),
        (f"{NO_BEACON};Navigator.prototype.sendBeacon = () => false", ["fetch"]),
    ],
)
def test_each_browser_tells_in_the_way_that_it_has(
    shop: Shop, cdn: Cdn, page: Page, lacking: str, ways: list[str]
) -> None:
    page.add_init_script(f"{lacking};{WATCHED}")
    page.goto(f"{publish(cdn, shop)}?{QUERY}")
    until_known(page, shop)
    assert page.evaluate("ways") == ways
    assert shop.told == 1
    assert Attribution.objects.get().landing.is_reportable


@pytest.mark.parametrize("policy", ["no-referrer", "same-origin", "unsafe-url"])
def test_a_page_names_its_origin_whatever_its_referrer_policy(
    shop: Shop, cdn: Cdn, page: Page, policy: str
) -> None:
    head = f'<meta name="referrer" content="{policy}">'
    with page.expect_request("**/connectly/capture/") as told:
        page.goto(f"{publish(cdn, shop, head)}?{QUERY}")
    until_known(page, shop)
    # Other browsers put "null" for the origin where no referrer may be named.
    assert told.value.all_headers()["referer"] == f"{cdn.url}/"
    assert Attribution.objects.get().landing.is_reportable


def test_a_customer_who_leaves_before_the_answer_is_known(
    shop: Shop, cdn: Cdn, page: Page, sandbox: Sandbox
) -> None:
    later = page.context.new_page()
    page.goto(f"{publish(cdn, shop, endpoint='slow/')}?{QUERY}")
    page.close()
    later.goto(f"{shop.url}/another/")
    until_known(later, shop)
    buy(later)
    assert_delivered(sandbox)


def test_the_same_page_again_is_the_same_click(
    shop: Shop, cdn: Cdn, page: Page, sandbox: Sandbox
) -> None:
    url = f"{publish(cdn, shop)}?{QUERY}"
    page.goto(url)
    until_known(page, shop)
    page.goto(url)
    shop.until(lambda: shop.told == 2)
    buy(page)
    assert_delivered(sandbox)


def test_a_page_without_parameters_tells_nothing_and_leaves_no_cookie(
    shop: Shop, cdn: Cdn, page: Page
) -> None:
    page.add_init_script(WATCHED)
    page.goto(f"{publish(cdn, shop)}?utm_source=wa&sendout_id=send-1&ad_id=9")
    assert "capture.js" in shop.said
    assert page.evaluate("ways") == []
    assert page.context.cookies() == []
    buy(page)
    assert shop.told == 0
    assert not Attribution.objects.exists()
    assert Conversion.objects.get().reason == Reason.NOT_ATTRIBUTED


@pytest.mark.parametrize("lacking", ["", NO_KEEPALIVE])
def test_a_policy_that_forbids_it_breaks_no_page(
    shop: Shop, cdn: Cdn, page: Page, lacking: str
) -> None:
    page.add_init_script(f"{lacking};{WATCHED}")
    policy = f"default-src 'none'; script-src {shop.url}"
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    page.goto(f"{publish(cdn, shop, head)}?{QUERY}")
    assert len(page.evaluate("ways")) == 1
    assert page.evaluate("new Promise((done) => setTimeout(done))") is None
    assert page.evaluate("broken") == []
    buy(page)
    assert shop.told == 0


def test_a_page_of_somebody_else_is_not_heard(shop: Shop, cdn: Cdn, page: Page) -> None:
    url = publish(cdn, shop).replace("www.shop.localhost", "www.evil.localhost")
    page.goto(f"{url}?{QUERY}")
    shop.until(lambda: shop.told)
    assert not session(page.context)
    assert not Attribution.objects.exists()
