"""The admin's pages under the themes that shops use: group ``themes``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from django.conf import settings as shop_settings
from playwright.sync_api import expect

from connectly_tracking import outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.models import CampaignName, Circuit, Conversion, State

from ..conftest import make_click, make_purchase
from .accessibility import assert_accessible
from .servers import Shop
from .staff import enter, make_ada

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from connectly_tracking.sandbox import Sandbox
    from example_project.demo.supervisor import Supervisor

    from .servers import Cdn

ADMIN = "/admin/connectly_tracking/"
CONVERSIONS = f"{ADMIN}conversion/"
#: Theme → widths that it is made for, in pixels.
THEMES: Final = {"unfold": (1280, 390), "jazzmin": (1280, 390), "grappelli": (1280,)}
#: Our part of a list and of a form; the other pages are ours altogether.
STORY: Final = (".connectly-story", ".connectly-timeline", ".connectly-copy")
LIST: Final = (".connectly-dates", ".connectly-chosen")
CONTENT: Final = {
    "unfold": "#content",
    "jazzmin": ".app-content",
    "grappelli": "#grp-content-container",
}
#: Their colours are the theme's.
PLAIN_LINKS: Final = "a:not([class], [aria-current])"


@pytest.fixture(params=THEMES)
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def refused(transactional_db: None, sandbox: Sandbox) -> Conversion:
    """One of three orders: the first was delivered, and the last is waiting."""
    click = make_click(age=3600)
    sandbox.behave("400:(#100) Invalid parameter: ctwa_clid", order_id="ORD-2")
    outbox.record(make_purchase("ORD-1"), attribution=click)
    found = outbox.record(make_purchase("ORD-2"), attribution=click)
    deliver()
    sandbox.clear()
    outbox.record(make_purchase("ORD-4"), attribution=click)
    CampaignName.objects.create(id="send-1", name="Black Friday", sent=18_400)
    return found


@pytest.fixture
def themed_shop(
    theme: str,
    refused: Conversion,
    supervisor: Supervisor,
    cdn: Cdn,
    settings: Any,
) -> Shop:
    make_ada(settings)
    return Shop(supervisor, cdn, INSTALLED_APPS=[theme, *shop_settings.INSTALLED_APPS])


def test_the_pages_lead_from_a_search_to_a_pause(
    themed_shop: Shop, page: Page, refused: Conversion
) -> None:
    enter(page, themed_shop)
    page.goto(f"{themed_shop.url}{CONVERSIONS}?state__exact=rejected")
    expect(page.locator(".connectly-chosen")).to_contain_text("99.97")
    expect(page.locator(".field-order")).to_have_text(["ORD-2"])
    page.goto(themed_shop.url + CONVERSIONS)
    page.locator("[name=q]").first.fill("ORD-2")
    page.keyboard.press("Enter")
    page.get_by_text("Order ORD-2 was sent, but Connectly or Meta refused").wait_for()
    page.get_by_role("link", name="ORD-2", exact=True).click()
    page.get_by_text("Meta does not know the click ID").wait_for()
    titles = page.locator(".connectly-entry strong").all_inner_texts()
    assert titles[-2:] == ["Sent to Connectly", "Rejected"]

    page.get_by_role("link", name="Send again…").click()
    page.get_by_role("button", name="Yes, send again").click()
    page.get_by_text("1 report will be sent again.").wait_for()
    refused.refresh_from_db()
    assert refused.state == State.PENDING

    page.goto(f"{themed_shop.url}{ADMIN}pause/by-hand/")
    page.get_by_label("Reason").fill("stocktaking")
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_text("default is paused by hand").wait_for()
    assert Circuit.objects.paused().get().is_by_hand
    page.goto(f"{themed_shop.url}/admin/")
    page.get_by_text("To resume sending, open Pauses").wait_for()
    page.get_by_role("link", name="Delivery status").click()
    page.get_by_text("Paused: by hand").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_ours_can_be_read(
    themed_shop: Shop,
    theme: str,
    chromium: Browser,
    refused: Conversion,
    scheme: Any,
) -> None:
    outbox.pause("default", detail="ada: stocktaking")
    context = chromium.new_context(color_scheme=scheme)
    page = context.new_page()
    enter(page, themed_shop)
    content = (CONTENT[theme],)
    for path, parts in {
        f"{CONVERSIONS}?state__exact=rejected": LIST,
        f"{CONVERSIONS}?q=ORD-2": (".connectly-story",),
        f"{CONVERSIONS}{refused.pk}/change/": STORY,
        f"{CONVERSIONS}{refused.pk}/send-again/": content,
        f"{CONVERSIONS}status/": content,
        f"{ADMIN}campaign/": content,
        f"{ADMIN}pause/by-hand/": content,
        "/admin/": (".connectly-banner",),
    }.items():
        for width in THEMES[theme]:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(themed_shop.url + path)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{path} is {wide} px wide"
        for part in parts:
            assert_accessible(page, part, but=PLAIN_LINKS)
