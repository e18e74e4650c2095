"""The marketer's and the operator's journeys through the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from connectly_tracking import outbox
from connectly_tracking.api.landing import Landing
from connectly_tracking.delivery import deliver
from connectly_tracking.models import (
    CampaignName,
    Circuit,
    Conversion,
    DbNow,
    Pause,
    State,
)

from ..conftest import make_click, make_purchase
from .accessibility import assert_accessible
from .servers import Shop
from .staff import log_in, make_ada

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from connectly_tracking.sandbox import Sandbox
    from example_project.demo.supervisor import Supervisor

    from .servers import Cdn

CONVERSIONS = "/admin/connectly_tracking/conversion/"
WORDS = "(#100) Invalid parameter: ctwa_clid is not valid"


@pytest.fixture
def orders(transactional_db: None, sandbox: Sandbox) -> dict[str, Conversion]:
    """One of each kind that people ask about."""
    click = make_click(age=3600)
    found = {
        "delivered": outbox.record(make_purchase("ORD-1"), attribution=click),
        "refused": outbox.record(make_purchase("ORD-2"), attribution=click),
        "skipped": outbox.record(make_purchase("ORD-3")),
    }
    sandbox.behave(f"400:{WORDS}", order_id="ORD-2")
    deliver()
    sandbox.clear()
    found["waiting"] = outbox.record(make_purchase("ORD-4"), attribution=click)
    return found


@pytest.fixture(autouse=True)
def _ada(transactional_db: None, settings: Any) -> None:
    make_ada(settings)


def test_a_marketer_finds_an_order_and_understands_what_became_of_it(
    shop: Shop, page: Page, orders: dict[str, Conversion]
) -> None:
    log_in(page, shop).goto(shop.url + CONVERSIONS)
    page.locator("#searchbar").fill("ORD-2")
    page.keyboard.press("Enter")
    page.get_by_text("Order ORD-2 was sent, but Connectly or Meta refused").wait_for()
    page.get_by_role("link", name="ORD-2").click()
    page.get_by_text("Meta does not know the click ID").wait_for()
    assert page.get_by_label("Full answer").get_by_text(WORDS).is_visible()
    titles = page.locator(".connectly-entry strong").all_inner_texts()
    assert titles == [
        "Ad clicked",
        "Order placed",
        "Recorded",
        "Sent to Connectly",
        "Rejected",
    ]


def test_a_marketer_goes_from_an_order_to_its_campaign(
    shop: Shop, page: Page, orders: dict[str, Conversion]
) -> None:
    log_in(page, shop).goto(shop.url + CONVERSIONS)
    page.get_by_role("link", name="send-1").first.click()
    page.get_by_text("3 conversions").first.wait_for()
    assert page.get_by_role("link", name="ORD-3").count() == 0


def test_an_operator_sees_a_pause_with_its_remedy_and_when_it_is_over(
    shop: Shop, page: Page, orders: dict[str, Conversion], sandbox: Sandbox
) -> None:
    sandbox.behave("401")
    deliver()
    log_in(page, shop).goto(shop.url + CONVERSIONS)
    page.get_by_role("link", name="Delivery status").first.click()
    page.get_by_text(
        "Paused: the key, the business or the address is wrong."
    ).wait_for()
    assert page.get_by_text("Correct API_KEY, BUSINESS_ID or BASE_URL.").is_visible()
    sandbox.clear()
    Circuit.objects.update(paused_until=DbNow(-1))
    deliver()
    page.reload()
    page.get_by_text("Orders were rejected in the last 24 hours.").wait_for()
    assert page.get_by_text("Paused:").count() == 0


def test_an_operator_sends_again_by_the_keyboard_alone(
    shop: Shop, page: Page, orders: dict[str, Conversion], sandbox: Sandbox
) -> None:
    row = orders["refused"]
    log_in(page, shop).goto(f"{shop.url}{CONVERSIONS}{row.pk}/change/")
    page.get_by_role("link", name="Send again").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Connectly may already have counted this order").wait_for()
    page.get_by_role("button", name="Yes, send again").focus()
    page.keyboard.press("Enter")
    page.get_by_text("1 report will be sent again.").wait_for()
    deliver()
    row.refresh_from_db()
    assert row.state == State.DELIVERED


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_everybody_can_read_it(
    shop: Shop,
    chromium: Browser,
    orders: dict[str, Conversion],
    scheme: Any,
    width: int,
) -> None:
    context = chromium.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": 900},
    )
    page = log_in(context.new_page(), shop)
    refused = f"{CONVERSIONS}{orders['refused'].pk}"
    outbox.pause("default", detail="ada: stocktaking")
    pause = Pause.objects.get().pk
    CampaignName.objects.create(id="send-1", name="Black Friday", sent=18_400)
    click = orders["refused"].attribution_id
    for path in (
        CONVERSIONS,
        f"{CONVERSIONS}?q=ORD-2",
        f"{CONVERSIONS}?when=today",
        f"{CONVERSIONS}?q=nobody",
        f"{refused}/change/",
        f"{refused}/send-again/",
        f"{refused}/cancel/",
        f"{CONVERSIONS}status/",
        "/admin/",
        "/admin/connectly_tracking/attribution/",
        f"/admin/connectly_tracking/attribution/{click}/change/",
        "/admin/connectly_tracking/attribution/customer/",
        "/admin/connectly_tracking/campaign/",
        "/admin/connectly_tracking/campaign/?by=day&period=7",
        f"{CONVERSIONS}?figure=orders&sendout_id=send-1",
        f"{CONVERSIONS}?left=soon&tries=1&status=400",
        "/admin/connectly_tracking/campaignname/",
        "/admin/connectly_tracking/campaignname/send-1/change/",
        "/admin/connectly_tracking/pause/",
        f"/admin/connectly_tracking/pause/{pause}/change/",
        "/admin/connectly_tracking/pause/by-hand/",
    ):
        page.goto(shop.url + path)
        # Its search form is Django's own.
        assert_accessible(page, "#content", but="#changelist-search")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path} is {wide} px wide"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_that_sending_is_paused(
    shop: Shop, chromium: Browser, orders: dict[str, Conversion], scheme: Any
) -> None:
    outbox.pause("default", detail="ada: stocktaking")
    context = chromium.new_context(
        color_scheme=scheme, viewport={"width": 390, "height": 900}
    )
    page = log_in(context.new_page(), shop)
    for path in (
        "/admin/",
        CONVERSIONS,
        f"{CONVERSIONS}{orders['waiting'].pk}/change/",
    ):
        page.goto(shop.url + path)
        page.get_by_text("To resume sending, open Pauses").first.wait_for()
        assert_accessible(page, "ul.messagelist")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{path} is {wide} px wide"
    for path in ("", f"{Pause.objects.get().pk}/change/", "by-hand/"):
        page.goto(f"{shop.url}/admin/connectly_tracking/pause/{path}")
        assert_accessible(page, "#content", but="#changelist-search")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_longest_ids_are_shown_whole_and_make_no_page_wider(
    shop: Shop, chromium: Browser, orders: dict[str, Conversion], width: int
) -> None:
    order_id, long = "L" * 128, "x" * 1024
    click = make_click(
        Landing(
            cnct_tracking_id=long,
            sendout_id=long,
            ctwa_clid=long,
            ad_id=long,
            attribution_source="meta_ctwa",
        )
    )
    row = outbox.record(make_purchase(order_id), attribution=click)
    context = chromium.new_context(viewport={"width": width, "height": 900})
    page = log_in(context.new_page(), shop)
    for path in (
        CONVERSIONS,
        f"{CONVERSIONS}?q={order_id}",
        f"{CONVERSIONS}{row.pk}/change/",
        f"{CONVERSIONS}{row.pk}/cancel/",
        "/admin/connectly_tracking/attribution/",
        f"/admin/connectly_tracking/attribution/{click.pk}/change/",
    ):
        page.goto(shop.url + path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path} is {wide} px wide"
    values = page.locator("div.readonly")
    assert values.get_by_text(long).count() == 4
    assert values.evaluate_all(
        "found => found.every(it => it.clientWidth <= it.parentElement.clientWidth)"
    )
    page.get_by_role("link", name="View", exact=True).click()
    page.get_by_text("What happened").wait_for()


def test_filters_are_reached_on_a_phone(
    shop: Shop, chromium: Browser, orders: dict[str, Conversion]
) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    page = log_in(context.new_page(), shop)
    page.goto(shop.url + CONVERSIONS)
    page.get_by_role("link", name="Filters").click()
    filters = page.locator("#changelist-filter")
    expect(filters).to_be_in_viewport()
    filters.get_by_role("link", name="400", exact=True).click()
    shown = page.locator("#result_list .field-order")
    expect(shown).to_have_text(["ORD-2"])
    expect(page.locator(".connectly-chosen")).to_contain_text("answer status")
    for path, expected in (
        ("?tries=0", ["ORD-4", "ORD-3"]),
        ("?left=any", ["ORD-4"]),
        ("?left=soon", []),
    ):
        page.goto(f"{shop.url}{CONVERSIONS}{path}")
        expect(shown).to_have_text(expected)


def test_print_shows_what_the_list_says_and_nothing_to_press(
    shop: Shop, chromium: Browser, orders: dict[str, Conversion]
) -> None:
    page = log_in(chromium.new_context(color_scheme="dark").new_page(), shop)
    page.emulate_media(media="print")
    page.goto(f"{shop.url}{CONVERSIONS}?state__exact=delivered")
    expect(page.locator("#result_list .field-order")).to_have_text(["ORD-1"])
    expect(page.locator(".connectly-chosen")).to_contain_text("99.97")
    page.goto(f"{shop.url}/admin/connectly_tracking/campaign/")
    expect(page.locator(".connectly-chart svg")).to_be_visible()
    for path in (
        f"{CONVERSIONS}?state__exact=delivered",
        "/admin/connectly_tracking/campaign/",
    ):
        page.goto(shop.url + path)
        for gone in (
            "#header",
            "#nav-sidebar",
            ".object-tools",
            "#changelist-filter",
            "#changelist-search",
            ".actions",
            ".connectly-dates",
            ".connectly-span",
        ):
            for element in page.locator(gone).all():
                expect(element).to_be_hidden()
        paper = page.locator("#content").evaluate(
            "it => [getComputedStyle(it).color, getComputedStyle(it).backgroundColor]"
        )
        assert paper == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]


#: The dot of each entry, and whether it lies upon the entry's time or its words.
DOTS = """entries => entries.map(entry => {
  const box = entry.getBoundingClientRect();
  const dot = getComputedStyle(entry, "::before");
  const left = box.left + parseFloat(dot.left), right = left + parseFloat(dot.width);
  return [...entry.children].some(child => {
    const text = document.createRange();
    text.selectNodeContents(child);
    return [...text.getClientRects()].some(
      it => it.width && left < it.right && it.left < right);
  });
})"""


@pytest.mark.parametrize("width", [390, 1280])
def test_the_pages_can_be_read_from_right_to_left(
    supervisor: Supervisor,
    cdn: Cdn,
    product: None,
    chromium: Browser,
    orders: dict[str, Conversion],
    width: int,
) -> None:
    shop = Shop(supervisor, cdn, LANGUAGES=[["ar", "Arabic"], ["en", "English"]])
    context = chromium.new_context(
        locale="ar", viewport={"width": width, "height": 900}
    )
    page = context.new_page()
    page.goto(f"{shop.url}/admin/")
    page.locator("#id_username").fill("ada")
    page.locator("#id_password").fill("pass")
    page.keyboard.press("Enter")
    page.locator("#user-tools").wait_for()
    for path in (
        f"{CONVERSIONS}{orders['refused'].pk}/change/",
        CONVERSIONS,
        f"{CONVERSIONS}status/",
        "/admin/connectly_tracking/campaign/",
    ):
        page.goto(shop.url + path)
        assert page.evaluate("document.documentElement.dir") == "rtl"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if path.endswith("/change/"):
            dots = page.locator(".connectly-entry").evaluate_all(DOTS)
            assert dots == [False] * 5
            for text in page.locator("#content time, #content pre").all():
                assert text.evaluate("it => getComputedStyle(it).direction") == "ltr"
            amount = page.locator(".connectly-entry bdi", has_text="USD")
            # A bdi has the direction of its own words.
            assert amount.evaluate("it => it.matches(':dir(ltr)')")
