"""What an order's page advises is true for this order on this day."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.models import Conversion, DbNow, Reason, State
from connectly_tracking.remedies import advice_for

from ..conftest import make_click, make_purchase
from .test_story import page, told

if TYPE_CHECKING:
    from django.test import Client

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
ONLY_ANALYTICS = "in Connectly's analytics, but not in Ads Manager."


def skipped(reason: Reason, *, age: float, **fields: Any) -> Conversion:
    """An order without a click that was placed so many days ago."""
    placed = timezone.now() - age * DAY
    row = outbox.record(make_purchase(event_time=int(placed.timestamp())))
    Conversion.objects.update(reason=reason, recorded_at=placed, **fields)
    return Conversion.objects.get(pk=row.pk)


@pytest.mark.parametrize(
    ("reason", "now", "later"),
    [
        (Reason.CONSENT_PENDING, "If the customer consents by 20", "it is too late"),
        (Reason.NOT_ATTRIBUTED, "If a click is found by 20", ""),
    ],
)
def test_only_within_two_days_a_click_may_still_come(
    reason: Reason, now: str, later: str
) -> None:
    assert now in advice_for(skipped(reason, age=1.9))
    Conversion.objects.all().delete()
    for age in (2.1, 8, 28):
        old = advice_for(skipped(reason, age=age))
        assert now not in old
        assert later in old
        Conversion.objects.all().delete()


def test_an_order_recorded_late_is_too_old_however_new_its_row_is() -> None:
    row = skipped(Reason.CONSENT_PENDING, age=28)
    Conversion.objects.update(recorded_at=timezone.now())
    row.refresh_from_db()
    assert "it is too late to send this order" in advice_for(row)


def test_a_cleared_or_cancelled_order_waits_for_nothing() -> None:
    row = skipped(Reason.CONSENT_PENDING, age=1, payload="")
    assert "it is too late" in advice_for(row)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.EXPIRED, Reason.EXPIRED),
        (State.REJECTED, Reason.REFUSED),
        (State.REJECTED, Reason.UNCONFIRMED),
        (State.REJECTED, Reason.INTERNAL),
        (State.SKIPPED, Reason.SENDING_OFF),
    ],
)
def test_what_is_sent_again_in_time_may_be_shown_and_later_not(
    state: State, reason: Reason
) -> None:
    row = outbox.record(make_purchase(), attribution=make_click(age=60))
    row.state, row.reason, row.due_at = state, reason, None
    for days in (0, 1, 6.9):
        row.event_time = timezone.now() - days * DAY
        assert "You can send it again until 20" in advice_for(row)
    for days in (7.1, 27, 400):
        row.event_time = timezone.now() - days * DAY
        assert "more than 7 days old, so Meta refuses it" in advice_for(row)
        assert "send it again until" not in advice_for(row)


def test_an_old_invalid_order_is_too_late_for_meta() -> None:
    row = skipped(Reason.INVALID, age=27, payload="")
    assert "record the order again" in advice_for(row)
    assert "so Meta refuses it" in advice_for(row)
    row.event_time = timezone.now()
    assert "Meta refuses it" not in advice_for(row)


@pytest.mark.parametrize(
    ("days", "words"), [(0, "within hours"), (6, "within hours"), (9, "probably not")]
)
def test_a_delivered_order_says_whether_ads_manager_shows_it(
    sandbox: Sandbox, admin_client: Client, days: int, words: str
) -> None:
    click = make_click(age=days * 86400 + 60)
    row = outbox.record(make_purchase(), attribution=click)
    deliver()
    assert words in page(admin_client, row)


@pytest.mark.parametrize(("days", "warned"), [(1, False), (27, True)])
def test_before_it_is_sent_again_its_own_age_is_said(
    admin_client: Client, days: int, warned: bool
) -> None:
    placed = timezone.now() - days * DAY
    row = outbox.record(make_purchase(), attribution=make_click(age=60))
    Conversion.objects.update(
        state=State.EXPIRED, reason=Reason.EXPIRED, due_at=None, event_time=placed
    )
    url = reverse("admin:connectly_tracking_conversion_send-again", args=[row.pk])
    html = unescape(admin_client.get(url).content.decode())
    assert ("1 of these orders is more than 7 days old" in html) == warned
    assert ("Meta refuses" in html) == warned


def test_a_refusal_of_metas_counts_in_one_place_only(
    admin_client: Client, sandbox: Sandbox
) -> None:
    row = outbox.record(make_purchase(), attribution=make_click(age=60))
    sandbox.behave("400:(#100) Messaging Event Invalid Ctwa Clid")
    deliver()
    *_before, sent, end = told(admin_client, row)
    assert ONLY_ANALYTICS in sent
    assert end == "Rejected Connectly or Meta refused it"
    assert "only if you know" not in page(admin_client, row)


def test_a_timeline_ends_with_the_end(admin_client: Client, sandbox: Sandbox) -> None:
    row = outbox.record(make_purchase(), attribution=make_click(age=60))
    deliver_with(sandbox, "500")
    Conversion.objects.update(event_time=timezone.now() - 8 * DAY, due_at=DbNow(-1))
    deliver()
    row.refresh_from_db()
    assert row.state == State.EXPIRED
    end = "Expired it was too old before it could be sent"
    assert told(admin_client, row)[-1] == end
    Conversion.objects.update(ended_at=None)  # not known
    assert told(admin_client, row)[-1] == end


def deliver_with(sandbox: Sandbox, behaviour: str) -> None:
    sandbox.behave(behaviour, times=1)
    deliver()


@pytest.mark.parametrize("reason", [Reason.NOT_ATTRIBUTED, Reason.INVALID])
def test_what_was_skipped_ends_so(admin_client: Client, reason: Reason) -> None:
    row = skipped(reason, age=1)
    assert told(admin_client, row)[-1].startswith("Skipped")
    assert re.search(r"<strong>Skipped</strong>", page(admin_client, row))
