"""A landing page that Django serves, in all the ways that a browser comes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectly_tracking.models import Attribution

from .customer import QUERY, assert_delivered, buy, session, until_known

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from connectly_tracking.sandbox import Sandbox

    from .servers import Shop

#: Adds a link, and has what it leads to fetched before anybody asks for it.
AHEAD = """([kind, url]) => {
  const add = (parent, name, rest) =>
    parent.append(Object.assign(document.createElement(name), rest));
  add(document.body, "a", { href: url, textContent: "To the shop" });
  if (kind === "link") {
    add(document.head, "link", { rel: "prefetch", href: url });
  } else {
    const rules = { prefetch: [{ urls: [url], eagerness: "immediate" }] };
    add(document.head, "script", {
      type: "speculationrules",
      text: JSON.stringify(rules)
    });
  }
}"""


def test_an_order_is_delivered(shop: Shop, page: Page, sandbox: Sandbox) -> None:
    page.goto(f"{shop.url}/?{QUERY}")
    buy(page)
    assert shop.told == 0
    assert_delivered(sandbox)


def test_going_back_and_forward_is_no_further_click(
    shop: Shop, page: Page, sandbox: Sandbox
) -> None:
    page.add_init_script(
        "addEventListener('pageshow', (event) => window.kept = event.persisted)"
    )
    page.goto(f"{shop.url}/?{QUERY}")
    known = session(page.context)
    page.get_by_role("link", name="Tee").click()
    page.wait_for_url("**/product/tee/")
    page.evaluate("history.back()")
    # A page that was kept is not loaded again.
    page.wait_for_url("**/?cnct*", wait_until="commit")
    assert page.evaluate("kept")
    page.evaluate("history.forward()")
    page.wait_for_url("**/product/tee/", wait_until="commit")
    page.get_by_role("button", name="Buy now").click()
    page.get_by_role("heading", name="Thank you").wait_for()
    assert shop.said.count("GET /?cnct") == 1
    assert session(page.context) == known
    assert_delivered(sandbox)


@pytest.mark.parametrize("kind", ["link", "rules"])
def test_a_landing_fetched_ahead_is_stored_at_its_first_use(
    shop: Shop, page: Page, sandbox: Sandbox, kind: str
) -> None:
    page.goto(f"{shop.url}/message/")
    page.evaluate(AHEAD, [kind, f"{shop.url}/?{QUERY}"])
    until_known(page, shop)
    assert not Attribution.objects.exists()
    page.get_by_role("link", name="To the shop").click()
    page.wait_for_url("**/?cnct*")
    # Chromium asks again for a link's page, which varies by the cookie that it has got
    # meanwhile. It opens a page of the rules as it is.
    assert Attribution.objects.exists() == (kind == "link")
    buy(page)
    assert_delivered(sandbox)
    assert Attribution.objects.count() == 1
