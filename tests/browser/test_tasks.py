"""What a marketer and support ask, in three languages: no task needs a fourth click."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.conf.global_settings import PASSWORD_HASHERS
from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext, override
from playwright.sync_api import expect

from connectly_tracking import outbox
from connectly_tracking.admin.earnings import money_text
from connectly_tracking.delivery import deliver
from connectly_tracking.models import Reason

from ..conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

    from connectly_tracking.sandbox import Sandbox

    from .servers import Shop

#: Those of the browser, and of the translations.
LANGUAGES: Final = {"en-US": "en", "es-MX": "es", "pt-BR": "pt-br"}
MOST: Final = 3  # clicks from the admin's index
WORDS: Final = "(#2804087) Messaging Event Invalid Ctwa Clid"


@pytest.fixture
def orders(transactional_db: None, sandbox: Sandbox, settings: Any) -> None:
    """ORD-1497 was refused, and ORD-1498 cancelled."""
    # The shop's process does not know the quick hashes of the tests.
    settings.PASSWORD_HASHERS = PASSWORD_HASHERS
    User.objects.create_superuser("ada", password="pass")
    click = make_click(age=3600)
    for number in (1495, 1497):
        order = make_purchase(f"ORD-{number}", value=Decimal("1234.50"))
        outbox.record(order, attribution=click)
    sandbox.behave(f"400:{WORDS}", order_id="ORD-1497")
    deliver()
    sandbox.clear()
    outbox.record(make_purchase("ORD-1498", value=Decimal("99.97")), attribution=click)
    outbox.cancel("ORD-1498")


class Person:
    """Uses the admin by its words in one language, and counts the clicks."""

    def __init__(self, page: Page, shop: Shop) -> None:
        self.page = page
        self._index = f"{shop.url}/admin/"
        self._clicks = 0
        page.goto(self._index)
        page.locator("#id_username").fill("ada")
        page.locator("#id_password").fill("pass")
        page.keyboard.press("Enter")
        page.locator("#user-tools").wait_for()

    def begin(self) -> None:
        assert self._clicks <= MOST
        self._clicks = 0
        self.page.goto(self._index)

    def click(self, name: str, role: Any = "link", within: str = "#content") -> None:
        part = self.page.locator(within)
        part.get_by_role(role, name=name, exact=True).first.click()
        self._clicks += 1

    def search(self, text: str) -> None:
        self.page.locator("#searchbar").fill(text)
        self.page.keyboard.press("Enter")

    @property
    def shown(self) -> Locator:
        return self.page.locator("#content")


@pytest.fixture(params=LANGUAGES)
def person(
    request: pytest.FixtureRequest, chromium: Browser, shop: Shop, orders: None
) -> Iterator[Person]:
    page = chromium.new_context(locale=request.param).new_page()
    with override(LANGUAGES[request.param]):
        yield Person(page, shop)


def test_no_task_needs_more_than_three_clicks(person: Person) -> None:
    campaigns = capfirst(gettext("campaigns"))
    conversions = capfirst(gettext("conversions"))

    # What did each ad earn in 30 days?
    person.begin()
    person.click(campaigns)
    person.click(gettext("Ad"))
    thirty = gettext("%(count)d days") % {"count": 30}
    expect(person.shown.locator("[aria-current]").first).to_have_text(thirty)
    line = person.shown.get_by_role("row").filter(has_text="120210")
    expect(line).to_contain_text(money_text(Decimal("2469.00"), "USD"))

    # Which share of the clicks led to an order?
    person.begin()
    person.click(campaigns)
    rate = person.shown.locator("dl div").filter(
        has=person.page.get_by_text(gettext("Conversion rate"), exact=True)
    )
    expect(rate.locator("dd").first).to_contain_text("%")

    # Which money was not reported, and why?
    person.begin()
    person.click(campaigns)
    lost = person.shown.get_by_role("row").filter(
        has_text=capfirst(str(Reason.CANCELLED.label))
    )
    expect(lost).to_contain_text(money_text(Decimal("99.97"), "USD"))

    # Last month, for the agency.
    person.begin()
    person.click(campaigns)
    last = timezone.localdate().replace(day=1) - timedelta(days=1)
    person.click(date_format(last.replace(day=1), "YEAR_MONTH_FORMAT"))
    with person.page.expect_download() as download:
        person.click(gettext("Download CSV"))
    name = f"campaign-{last.replace(day=1)}-{last}.csv"
    assert download.value.suggested_filename == name

    # Why is 1497 not in Ads Manager?
    person.begin()
    person.click(conversions)
    person.search("1497")
    why = gettext("Order %(order)s was sent, but %(why)s.")
    expect(person.shown).to_contain_text(
        why % {"order": "ORD-1497", "why": Reason.REFUSED.label}
    )

    # Proof for Connectly.
    person.begin()
    person.click(conversions)
    person.search("1497")
    person.click("ORD-1497")
    person.click(gettext("Copy for Connectly's support"), "button")
    expect(person.shown.get_by_role("button", name=gettext("Copied"))).to_be_focused()
    person.page.locator("#nav-filter").focus()
    person.page.keyboard.press("Control+V")
    pasted = person.page.locator("#nav-filter").input_value()
    assert "Request: POST http" in pasted
    assert WORDS in pasted
    person.begin()
