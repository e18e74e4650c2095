"""Why an order is, or is not, in Ads Manager."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectly_tracking import attribution, outbox
from connectly_tracking.api.landing import Landing
from connectly_tracking.delivery import deliver
from connectly_tracking.models import Attribution, Circuit, Conversion, DbNow, Reason
from connectly_tracking.reports import explain

from .conftest import TAGGED, make_click, make_purchase

if TYPE_CHECKING:
    from django.test import RequestFactory

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
DAY = 86400


def stamp(at: Any) -> str:
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M %Z")


def test_a_delivered_order_says_when_and_by_which_click(
    sandbox: Sandbox, click: Attribution
) -> None:
    outbox.record(make_purchase("7821"), attribution=click)
    deliver()
    row = Conversion.objects.get()
    assert explain(7821) == (
        f"Order 7821 was reported to Connectly at {stamp(row.delivered_at)}. Click: "
        f"{stamp(click.captured_at)}, campaign send-1, ad 120210."
    )


def test_a_click_that_was_too_old_says_how_old() -> None:
    click = make_click(age=39 * DAY + 60)
    outbox.record(make_purchase("7821"), attribution=click)
    assert explain("7821").startswith(
        "Order 7821 was not reported: the click was 39 days old, but the attribution "
        "window was 28 days. Click: "
    )


@pytest.mark.parametrize(
    ("window", "age", "words"),
    [
        (12 * 3600, 20 * 3600, "20 hours old, but the attribution window was 12 hours"),
        (36 * 3600, 3 * DAY, "72 hours old, but the attribution window was 36 hours"),
        (3600, 2 * 3600, "2 hours old, but the attribution window was 1 hour."),
        (DAY, 3 * DAY, "3 days old, but the attribution window was 1 day."),
        (
            2 * DAY,
            2 * DAY + 3600,
            "49 hours old, but the attribution window was 48 hours",
        ),
    ],
)
def test_a_window_that_days_cannot_tell_is_told_in_hours(
    configure: Any, window: int, age: int, words: str
) -> None:
    configure(ATTRIBUTION_WINDOW=window)
    outbox.record(make_purchase("7821"), attribution=make_click(age=age + 60))
    assert words in explain("7821")


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        (
            timedelta(days=7),
            28 * DAY,
            "10 days old, but the attribution window was 7 days",
        ),
        (timedelta(days=7), None, "10 days old, but the attribution window was 7 days"),
        (timedelta(days=7), 3600, "10 days old, but the attribution window was 7 days"),
        (
            timedelta(hours=12),
            28 * DAY,
            "240 hours old, but the attribution window was 12 hours",
        ),
        (None, 28 * DAY, "the click was 10 days old."),
        (None, None, "the click was 10 days old."),
        (None, 7 * DAY, "10 days old, but the attribution window was 7 days"),
        (None, "soon", "the click was 10 days old."),
    ],
)
def test_a_click_that_was_too_old_is_judged_by_the_window_of_that_day(
    configure: Any, then: timedelta | None, now: Any, words: str
) -> None:
    configure(ATTRIBUTION_WINDOW=DAY)
    outbox.record(make_purchase("7821"), attribution=make_click(age=10 * DAY + 60))
    Conversion.objects.update(attribution_window=then)
    configure(ATTRIBUTION_WINDOW=now)
    assert words in explain("7821")
    assert "672" not in explain("7821")


@pytest.mark.parametrize("window", [7 * DAY, 36 * 3600, 5400])
def test_a_window_that_changes_later_changes_no_explanation(
    configure: Any, window: int
) -> None:
    configure(ATTRIBUTION_WINDOW=window)
    outbox.record(make_purchase("7821"), attribution=make_click(age=10 * DAY + 60))
    before = explain("7821")
    for later in (28 * DAY, None, 60):
        configure(ATTRIBUTION_WINDOW=later)
        assert explain("7821") == before


def test_an_order_that_expired_is_judged_by_its_age_at_that_time(
    configure: Any,
) -> None:
    """Under a limit of a day, which is a week since."""
    outbox.record(make_purchase("7821"), attribution=make_click())
    began = timezone.now() - timedelta(days=20)
    Conversion.objects.update(event_time=began, recorded_at=began)
    Conversion.objects.all().mark_expired()
    Conversion.objects.update(ended_at=began + timedelta(days=1, minutes=1))
    assert "not reported: it was too old before it could be sent." in explain("7821")
    Conversion.objects.update(ended_at=began + timedelta(days=7, minutes=1))
    assert "it was more than 7 days old before it could be sent" in explain("7821")
    Conversion.objects.update(replayed_at=began + timedelta(days=6))
    assert "not reported: it was too old before it could be sent." in explain("7821")
    configure(MAX_EVENT_AGE=DAY)
    assert "it was more than 1 day old before it could be sent" in explain("7821")


def test_a_click_that_came_later_says_when() -> None:
    click = make_click()
    order = make_purchase("7821", event_time=int(time.time()) - DAY)
    outbox.record(order, attribution=click)
    assert explain("7821").startswith(
        "Order 7821 was not reported: the ad was clicked after the order was placed. "
        f"Click: {stamp(click.captured_at)}, "
    )


def test_an_order_that_was_never_recorded_says_what_to_do() -> None:
    assert "never recorded" in explain("7821")
    assert "a developer can find the reason in the shop's log" in explain("7821")
    assert "never recorded" in explain(None)  # type: ignore[arg-type]


def test_an_order_that_was_only_bound_says_to_which_click(rf: RequestFactory) -> None:
    request = rf.get(TAGGED)
    request.session = SessionStore()
    attribution.land(request)
    binding = attribution.bind_order(request, "7821")
    assert binding is not None
    click = Attribution.objects.get()
    assert explain("7821").startswith(
        f"Order 7821 was linked to a click at {stamp(binding.bound_at)}, but never "
        f"recorded. Click: {stamp(click.captured_at)}, campaign send-1, ad 120210. "
    )
    click.delete()
    assert "never recorded" in explain("7821")
    assert "linked" not in explain("7821", business="br")


def test_where_orders_without_a_click_leave_no_row_it_is_said(configure: Any) -> None:
    configure(RECORD_UNATTRIBUTED=False)
    outbox.record(make_purchase("7821"))
    assert "does not record orders without a click" in explain("7821")


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (DAY, "Records older than 1 day may"),
        (3600, "1 day may"),
        (30 * DAY, "30 days"),
    ],
)
def test_what_may_have_been_deleted_is_said(
    configure: Any, kept: int, words: str
) -> None:
    configure(RETENTION=kept)
    assert words in explain("7821")


@pytest.mark.sqlite
def test_an_order_is_looked_up_by_an_index(click: Attribution) -> None:
    outbox.record(make_purchase("7821"), attribution=click)
    with CaptureQueriesContext(connection) as queries:
        explain("7821")
        explain("7822")
    for query in queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            steps = [row[-1] for row in cursor.fetchall()]
        assert not any(step.startswith("SCAN") for step in steps), steps


def test_what_waits_says_until_when_and_what_is_paused(click: Attribution) -> None:
    outbox.record(make_purchase("7821"), attribution=click)
    assert "is waiting to be sent; the next attempt is at 2" in explain("7821")
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
    assert "was sent, but Connectly or Meta refused it. Click: " in explain("7821")
    assert "The order was cancelled at 2" in explain("7821")


def test_what_the_shop_passed_wrongly_is_named() -> None:
    outbox.record(make_purchase("7821", currency="XXZ"))
    assert "currency: 'XXZ' is not an ISO 4217 currency code (such as USD)" in explain(
        "7821"
    )


def test_what_is_too_old_is_told(sandbox: Sandbox, click: Attribution) -> None:
    outbox.record(make_purchase("7821"), attribution=click)
    Conversion.objects.update(event_time=timezone.now() - timedelta(days=8))
    deliver()
    assert (
        "was not reported: it was more than 7 days old before it could be sent."
        in explain("7821")
    )


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_a_sentence(click: Attribution, reason: Reason) -> None:
    outbox.record(make_purchase("7821"), attribution=click)
    Conversion.objects.update(state="skipped", reason=reason, due_at=None)
    assert len(explain("7821")) > 50


def test_one_businesss_order_can_be_asked_for(configure: Any, settings: Any) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own})
    outbox.record(make_purchase("7821"), attribution=make_click(business="br"))
    assert "waiting" in explain("7821", business="br")
    assert "never recorded" in explain("7821", business="default")


def test_markup_in_an_id_is_only_text() -> None:
    click = make_click(Landing(cnct_tracking_id="t", sendout_id="<b>"))
    outbox.record(make_purchase("7821"), attribution=click)
    assert "campaign <b>" in explain("7821")  # escaped where it is shown
