"""Why an order is, or is not, in Ads Manager."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.landing import Landing
from connectly_tracking.models import Attribution, Circuit, Conversion, DbNow, Reason
from connectly_tracking.reports import explain

from .conftest import make_click, make_purchase

if TYPE_CHECKING:
    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
DAY = 86400


def stamp(at: Any) -> str:
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M")


def test_a_delivered_order_says_when_and_by_which_click(
    sandbox: Sandbox, click: Attribution
) -> None:
    outbox.record(make_purchase("7821"), attribution=click)
    deliver()
    row = Conversion.objects.get()
    assert explain(7821) == (
        f"Order 7821: delivered {stamp(row.delivered_at)}, clicked "
        f"{stamp(click.captured_at)}, campaign send-1, ad 120210."
    )


def test_a_click_that_was_too_old_says_how_old() -> None:
    click = make_click(age=39 * DAY + 60)
    outbox.record(make_purchase("7821"), attribution=click)
    assert explain("7821").startswith(
        "Order 7821: not reported: the click was 39 days old, the window is 28 days"
    )


def test_a_click_that_came_later_says_when() -> None:
    click = make_click()
    order = make_purchase("7821", event_time=int(time.time()) - DAY)
    outbox.record(order, attribution=click)
    assert f"the click came after the order, at {stamp(click.captured_at)}" in (
        explain("7821")
    )


def test_an_order_that_was_never_recorded_says_what_to_do() -> None:
    assert "never recorded" in explain("7821")
    assert "connectly_backfill" in explain("7821")
    assert "never recorded" in explain(None)  # type: ignore[arg-type]


def test_what_waits_says_until_when_and_what_is_paused(click: Attribution) -> None:
    outbox.record(make_purchase("7821"), attribution=click)
    assert "waits to be sent, next try 2" in explain("7821")
    Circuit.objects.create(
        business="default",
        reason="configuration",
        paused_until=DbNow(60),
        changed_at=DbNow(),
    )
    assert "sending is paused: the key, the business" in explain("7821")


def test_a_refusal_is_told_and_so_is_a_cancellation(
    sandbox: Sandbox, click: Attribution
) -> None:
    outbox.record(make_purchase("7821"), attribution=click)
    sandbox.behave("400:no")
    deliver()
    outbox.cancel("7821")
    assert "rejected: Connectly or Meta refused it, clicked" in explain("7821")
    assert ", cancelled 2" in explain("7821")


def test_what_the_shop_passed_wrongly_is_named() -> None:
    outbox.record(make_purchase("7821", currency="XXZ"))
    assert "currency: 'XXZ' is no code of ISO 4217" in explain("7821")


def test_what_is_too_old_is_told(sandbox: Sandbox, click: Attribution) -> None:
    outbox.record(make_purchase("7821"), attribution=click)
    Conversion.objects.update(event_time=timezone.now() - timedelta(days=8))
    deliver()
    assert "expired: It had become too old" in explain("7821")


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_a_sentence(click: Attribution, reason: Reason) -> None:
    outbox.record(make_purchase("7821"), attribution=click)
    Conversion.objects.update(state="skipped", reason=reason, due_at=None)
    assert len(explain("7821")) > 50


def test_one_businesss_order_can_be_asked_for(configure: Any, settings: Any) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own})
    outbox.record(make_purchase("7821"), attribution=make_click(business="br"))
    assert "waits" in explain("7821", business="br")
    assert "never recorded" in explain("7821", business="default")


def test_markup_in_an_id_is_only_text() -> None:
    click = make_click(Landing(cnct_tracking_id="t", sendout_id="<b>"))
    outbox.record(make_purchase("7821"), attribution=click)
    assert "campaign <b>" in explain("7821")  # escaped where it is shown
