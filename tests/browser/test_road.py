"""What cuts the road from the ad to the order, in real browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from connectly_tracking.models import Attribution, Conversion, Reason
from example_project.shop.models import Order

from . import installed
from .customer import QUERY, assert_delivered, buy, until_known
from .pages import publish
from .servers import Shop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

    from connectly_tracking.sandbox import Sandbox
    from example_project.demo.supervisor import Supervisor

    from .servers import Cdn

    Open = Callable[[str], None]

STRICT: dict[str, Any] = {"SESSION_COOKIE_SAMESITE": "Strict"}
SHARED: dict[str, Any] = {"SESSION_COOKIE_DOMAIN": "shop.localhost"}
IN_COOKIE: dict[str, Any] = {
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"
}


@pytest.fixture(autouse=True)
def ana(product: None) -> User:
    return User.objects.create_user("ana", email="ana@example.com")


@pytest.fixture(params=["chromium", "firefox"])
def open_page(
    request: pytest.FixtureRequest, supervisor: Supervisor, tmp_path: Path
) -> Open:
    """Open a page in a browser that nobody drives; its pages go on by themselves."""

    def open_page(url: str) -> None:
        supervisor.environ["HOME"] = str(tmp_path)
        command = {
            "chromium": installed.chromium_at,
            "firefox": installed.firefox_at,
        }[request.param]
        supervisor.start("browser", command(url, tmp_path))

    if request.param == "firefox" and installed.firefox() is None:
        pytest.skip("there is no Firefox")
    return open_page


def ask(page: Page, path: str) -> None:
    """A request from the page, without its cookies."""
    answer = f"fetch('{path}', {{credentials: 'omit'}}).then((it) => it.status)"
    assert page.evaluate(answer) == 204


def until_done(shop: Shop) -> None:
    shop.until(lambda: "GET /done/" in shop.said)


def test_a_strict_session_that_the_browser_withholds_survives_the_ad(
    supervisor: Supervisor, cdn: Cdn, open_page: Open, sandbox: Sandbox
) -> None:
    shop = Shop(supervisor, cdn, **STRICT)
    ad = cdn.publish(
        "ad.html",
        f'<!doctype html><script>location = "{shop.url}/landed/?{QUERY}"</script>',
    ).replace("www.shop", "www.elsewhere")
    open_page(f"{shop.url}/prepare/?user=ana&next={ad}")
    until_done(shop)
    assert "GET /order/?shown=False" in shop.said  # withheld from the landing
    order = Order.objects.get()
    assert order.email == "ana@example.com"  # still logged in
    assert [line.quantity for line in order.lines.all()] == [1]  # and with her cart
    assert_delivered(sandbox)


def test_a_click_on_www_is_known_at_the_apex_if_they_share_the_cookie(
    supervisor: Supervisor, cdn: Cdn, open_page: Open, sandbox: Sandbox
) -> None:
    shop = Shop(supervisor, cdn, **SHARED)
    open_page(f"{shop.url.replace('//', '//www.')}/moved/?{QUERY}")
    until_done(shop)
    assert_delivered(sandbox)


def test_a_click_on_www_is_not_known_at_the_apex_if_they_do_not(
    shop: Shop, open_page: Open
) -> None:
    open_page(f"{shop.url.replace('//', '//www.')}/moved/?{QUERY}")
    until_done(shop)
    assert Conversion.objects.get().reason == Reason.NOT_ATTRIBUTED


def test_a_slow_landing_leaves_the_cart_that_another_tab_fills(
    shop: Shop, page: Page, sandbox: Sandbox
) -> None:
    page.goto(f"{shop.url}/prepare/?next=/product/tee/")
    page.wait_for_url("**/product/tee/")
    landing = page.context.new_page()
    landing.goto(f"{shop.url}/message/")
    landing.evaluate(f"void (location = '/slow-page/?{QUERY}')")
    ask(page, "/began/")
    page.get_by_label("Quantity").fill("2")
    page.get_by_role("button", name="Add to cart").click()
    page.get_by_text("149.97").first.wait_for()
    ask(page, "/shown/")
    landing.wait_for_url("**/slow-page/?*")
    landing.goto(f"{shop.url}/order/")
    until_done(shop)
    assert [line.quantity for line in Order.objects.get().lines.all()] == [3]
    assert_delivered(sandbox)


@pytest.mark.parametrize(
    ("query", "changes", "bought"),
    [("?sku=tee", {}, 2), ("", {"SESSION_SAVE_EVERY_REQUEST": True}, 1)],
)
def test_a_slow_page_that_began_before_the_landing_leaves_the_click(
    supervisor: Supervisor,
    cdn: Cdn,
    page: Page,
    sandbox: Sandbox,
    query: str,
    changes: dict[str, Any],
    bought: int,
) -> None:
    shop = Shop(supervisor, cdn, **changes)
    page.goto(f"{shop.url}/prepare/")
    page.wait_for_url("**/cart/")
    slow = page.context.new_page()
    slow.goto(f"{shop.url}/message/")
    slow.evaluate(f"void (location = '/slow-page/{query}')")
    ask(page, "/began/")
    page.goto(f"{shop.url}/?{QUERY}")
    ask(page, "/shown/")
    slow.wait_for_url("**/slow-page/*")
    page.goto(f"{shop.url}/order/")
    until_done(shop)
    assert [line.quantity for line in Order.objects.get().lines.all()] == [bought]
    assert_delivered(sandbox)


@pytest.mark.parametrize("filling", [3, 3600, 3800])
def test_a_session_in_a_cookie_keeps_its_cart_and_the_click_is_credited(
    supervisor: Supervisor, cdn: Cdn, page: Page, sandbox: Sandbox, filling: int
) -> None:
    shop = Shop(supervisor, cdn, **IN_COOKIE)
    page.goto(f"{shop.url}/prepare/?filling={filling}")
    page.wait_for_url("**/cart/")
    page.goto(f"{shop.url}/?{QUERY}")
    page.goto(f"{shop.url}/order/")
    until_done(shop)
    assert [line.quantity for line in Order.objects.get().lines.all()] == [1]
    assert_delivered(sandbox)


@pytest.mark.parametrize("kind", ["static", "template"])
def test_a_page_that_tidies_its_address_first_tells_where_it_was(
    unseeing_shop: Shop, cdn: Cdn, page: Page, sandbox: Sandbox, kind: str
) -> None:
    tidy = '<script>history.replaceState(null, "", location.pathname)</script>'
    url = (
        publish(cdn, unseeing_shop, tidy)
        if kind == "static"
        else f"{unseeing_shop.url}/tidied/"
    )
    page.goto(f"{url}?{QUERY}")
    until_known(page, unseeing_shop)
    assert "?" not in page.url
    buy(page)
    assert_delivered(sandbox)


@pytest.mark.parametrize("address", ["#/product?", "#!/product/tee?ref=wa&", "#"])
def test_a_page_with_a_hash_router_tells_of_a_landing(
    unseeing_shop: Shop, cdn: Cdn, page: Page, sandbox: Sandbox, address: str
) -> None:
    page.goto(f"{publish(cdn, unseeing_shop)}{address}{QUERY}")
    until_known(page, unseeing_shop)
    buy(page)
    assert_delivered(sandbox)


def test_a_page_with_one_document_tells_of_a_change_of_route(
    unseeing_shop: Shop, cdn: Cdn, page: Page, sandbox: Sandbox
) -> None:
    page.goto(publish(cdn, unseeing_shop))
    page.evaluate(f"history.pushState(null, '', '?{QUERY}'); connectlyCapture()")
    until_known(page, unseeing_shop)
    buy(page)
    assert_delivered(sandbox)


@pytest.mark.parametrize("path", ["/promo/summer/", "/campaign/"])
def test_a_page_of_ours_is_known_by_its_own_path(
    unseeing_shop: Shop, page: Page, sandbox: Sandbox, path: str
) -> None:
    page.goto(f"{unseeing_shop.url}{path}?{QUERY}")
    until_known(page, unseeing_shop)
    buy(page)
    assert Attribution.objects.get().page == path
    assert_delivered(sandbox)
