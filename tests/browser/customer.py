"""What customers do, and what Connectly must hear of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from connectly_tracking.delivery import deliver
from connectly_tracking.models import Attribution, Conversion, State

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from connectly_tracking.sandbox import Sandbox

    from .servers import Shop

#: With what a browser or a server might decode once too often.
QUERY: Final = (
    "cnct_tracking_id=track-1&sendout_id=send-1&ctwa_clid=AfA+x%2By%252Fz%3D"
    "&ad_id=120210&attribution_source=meta_ctwa&utm_source=wa"
)
CLID: Final = "AfA+x+y%2Fz="


def session(context: BrowserContext) -> str:
    """The session that the shop knows the browser by; empty without one."""
    cookies = {cookie["name"]: cookie["value"] for cookie in context.cookies()}
    return str(cookies.get("sessionid", ""))


def until_known(page: Page, shop: Shop) -> None:
    """Until the shop's answer to what a page told has reached the browser."""
    shop.until(lambda: session(page.context))


def buy(page: Page) -> None:
    """From a page with a link to the product, to the end."""
    page.get_by_role("link", name="Tee").click()
    page.get_by_role("button", name="Buy now").click()
    page.get_by_role("heading", name="Thank you").wait_for()


def assert_delivered(sandbox: Sandbox) -> None:
    """One order, and Connectly has it with the click of `QUERY`, as it stood."""
    assert deliver() == {State.DELIVERED: 1}
    row = Conversion.objects.get()
    assert row.attribution_id == Attribution.objects.get().pk
    (event,) = sandbox.events
    body = json.loads(event.body)
    assert body["cnct_tracking_id"] == "track-1"
    assert body["sendout_id"] == "send-1"
    assert body["attribution"]["meta_ctwa"] == {"ctwa_clid": CLID, "ad_id": "120210"}
    assert body["payload"]["order_id"] == row.order_id
