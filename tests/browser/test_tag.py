"""A page of Django's own templates, in a shop that knows only what pages tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .customer import QUERY, assert_delivered, buy, until_known

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from connectly_tracking.sandbox import Sandbox

    from .servers import Shop


def test_the_tag_works_under_a_policy_that_allows_nothing_but_it(
    unseeing_shop: Shop, page: Page, sandbox: Sandbox
) -> None:
    page.goto(f"{unseeing_shop.url}/campaign/?{QUERY}")
    until_known(page, unseeing_shop)
    buy(page)
    assert unseeing_shop.told == 1
    assert_delivered(sandbox)


def test_where_django_sees_the_page_itself_it_is_one_click(
    shop: Shop, page: Page, sandbox: Sandbox
) -> None:
    page.goto(f"{shop.url}/campaign/?{QUERY}")
    shop.until(lambda: shop.told)
    buy(page)
    assert shop.told == 1
    assert_delivered(sandbox)
