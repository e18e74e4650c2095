"""A conversion's page: its timeline, every answer explained, the next step."""

from __future__ import annotations

import re
import shlex
from datetime import timedelta
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.urls import reverse
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.admin import timeline as timelines
from connectly_tracking.admin.actions import SEND_AGAIN
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import claim
from connectly_tracking.delivery.run import Run
from connectly_tracking.models import (
    Circuit,
    Conversion,
    DbNow,
    DeliveryAttempt,
    State,
)
from connectly_tracking.remedies import FOR_PAUSE

from ..conftest import make_click, make_purchase

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
Outcome = DeliveryAttempt.Outcome


def page(client: Client, row: Conversion) -> str:
    url = reverse("admin:connectly_tracking_conversion_change", args=[row.pk])
    return client.get(url).content.decode()


def told(client: Client, row: Conversion) -> list[str]:
    """The entries' titles, facts and explanations, without markup."""
    entries = re.findall(r'<li class="connectly-entry.*?</li>', page(client, row), re.S)
    texts = [re.sub(r"<time.*?</time>|<[^>]+>", " ", entry) for entry in entries]
    return [unescape(" ".join(text.split())) for text in texts]


def recorded(**fields: Any) -> Conversion:
    click = make_click(age=3600)
    return outbox.record(make_purchase(**fields), attribution=click)


def test_a_delivered_order_is_told_from_click_to_answer(
    admin_client: Client, sandbox: Sandbox
) -> None:
    row = recorded()
    deliver()
    click, placed, recording, sent, delivered = told(admin_client, row)
    assert click == "Ad clicked campaign send-1 ad 120210"
    assert placed == "Order placed 99.97 USD"
    assert recording == "Recorded"
    assert re.fullmatch(r"Sent to Connectly confirmed status 200 \d+ ms", sent)
    assert delivered == "Delivered"


def test_what_a_worker_has_in_hand_is_under_way_until_its_lease_is_long_over(
    admin_client: Client,
) -> None:
    row = recorded()
    for _ in range(2):
        Conversion.objects.update(due_at=DbNow(-1))
        claim(Run.begin(), "default", 1)
    first, second = [it for it in told(admin_client, row) if it.startswith("Sent")]
    assert first.startswith("Sent to Connectly unknown no answer recorded")
    assert second == "Sent to Connectly under way"
    Conversion.objects.update(due_at=DbNow(-600))
    sent = [it for it in told(admin_client, row) if it.startswith("Sent")]
    assert all("no answer recorded" in it for it in sent)


def test_that_it_stopped_its_workers_was_not_known_when_it_was_recorded(
    admin_client: Client,
) -> None:
    row = recorded()
    Conversion.objects.filter(pk=row.pk).mark_crashed()
    assert "Every worker that tried to send it crashed" in page(admin_client, row)
    assert told(admin_client, row)[2] == "Recorded"


def test_a_click_in_the_orders_own_second_comes_first(admin_client: Client) -> None:
    row = recorded()
    assert row.event_time is not None
    at = row.event_time + timedelta(seconds=0.9)
    Conversion.objects.update(clicked_at=at, recorded_at=at)
    titles = [entry.split(" ")[0] for entry in told(admin_client, row)]
    assert titles == ["Ad", "Order", "Recorded"]


def test_each_try_is_told_with_its_answer_whole_and_explained(
    admin_client: Client, sandbox: Sandbox
) -> None:
    row = recorded()
    words = "(#100) ctwa_clid <b>is not valid</b>, " + "x" * 300
    sandbox.behave(["reset-after", "500", f"400:{words}"])
    for _ in range(3):
        deliver()
        Conversion.objects.filter(state=State.PENDING).update(due_at=DbNow())
    tries = told(admin_client, row)[3:]
    assert "unknown" in tries[0]
    assert "the same data is sent again" in tries[0]
    assert "API unavailable status 500" in tries[1]
    assert "refused status 400" in tries[2]
    assert "Meta does not know the click ID" in tries[2]
    html = page(admin_client, row)
    assert "&lt;b&gt;is not valid&lt;/b&gt;" in html
    assert "x" * 300 in html
    assert "counts in Connectly&#x27;s analytics, but not in Ads Manager." in html


@pytest.mark.parametrize(
    ("outcome", "status", "detail", "words"),
    [
        (Outcome.CONFIRMED, 200, "", ""),
        (Outcome.REFUSED, 400, "event_time is older than 7 days", "seven days"),
        (Outcome.REFUSED, 400, "Missing currency", "The currency is missing"),
        (Outcome.REFUSED, 400, "no permission on dataset", "Connect its dataset"),
        (Outcome.REFUSED, 400, "something else", "may have counted it"),
        (Outcome.CONFIGURATION, 401, "", "The API key is missing or wrong."),
        (Outcome.CONFIGURATION, 404, "", "no WhatsApp Cloud channel"),
        (Outcome.CONFIGURATION, 302, "", "never followed"),
        (Outcome.THROTTLED, 429, "", "told to wait"),
        (Outcome.UNCONFIRMED, 200, "<html>", "captive portal"),
        (Outcome.NOT_SENT, None, "", "Nothing was sent"),
        (Outcome.INTERNAL, None, "KeyError", "internal error"),
    ],
)
def test_the_usual_answers_are_put_plainly(
    admin_client: Client, outcome: Any, status: int | None, detail: str, words: str
) -> None:
    row = recorded()
    now = timezone.now()
    row.delivery_attempts.create(
        outcome=outcome,
        status_code=status,
        detail=detail,
        started_at=now,
        finished_at=now,
    )
    html = page(admin_client, row).partition('class="connectly-timeline"')[2]
    html = html.partition("</ol>")[0]
    (entry,) = [it for it in html.split("<li") if "0 ms" in it]
    title = "Tried to send" if outcome == Outcome.NOT_SENT else "Sent to Connectly"
    assert f"<strong>{title}</strong>" in entry
    assert words in entry
    assert bool(words) == ("<p>" in entry)


def test_of_very_many_tries_the_last_are_told(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    monkeypatch.setattr(timelines, "ATTEMPTS_SHOWN", 2)
    row = recorded()
    sandbox.behave("500")
    for _ in range(4):
        deliver()
        Conversion.objects.update(due_at=DbNow())
        Circuit.objects.update(paused_until=None)
    html = page(admin_client, row)
    assert html.count("Sent to Connectly") == 2
    assert "2 earlier attempts are not shown." in html


def test_what_waits_says_when_it_is_sent(admin_client: Client) -> None:
    row = recorded()
    Conversion.objects.update(due_at=DbNow(3600))
    assert "the next attempt is at 20" in page(admin_client, row)


def test_what_nobody_takes_says_so(admin_client: Client) -> None:
    row = recorded()
    Conversion.objects.update(due_at=DbNow(-600))
    html = page(admin_client, row)
    assert "because no worker is sending it; it was due at 20" in html
    assert "</strong> Check that a worker is running" in html


def test_what_is_in_a_workers_hands_says_so(admin_client: Client) -> None:
    row = recorded()
    Conversion.objects.update(state=State.SENDING, due_at=DbNow(60))
    html = page(admin_client, row)
    assert "is being sent now." in html
    assert "If its worker stops, another worker sends it." in html


@pytest.mark.parametrize("reason", Circuit.Reason)
def test_a_pause_is_said_with_its_remedy(
    admin_client: Client, reason: Circuit.Reason
) -> None:
    row = recorded()
    Circuit.objects.create(
        business="default", reason=reason, paused_until=DbNow(60), changed_at=DbNow()
    )
    html = unescape(page(admin_client, row))
    assert f"is waiting because sending is paused: {reason.label}." in html
    assert f"<strong>Next:</strong> {FOR_PAUSE[reason]}</p>" in html


def test_a_late_cancellation_cannot_be_taken_back(
    admin_client: Client, sandbox: Sandbox
) -> None:
    row = recorded()
    deliver()
    outbox.cancel(row.order_id)
    assert told(admin_client, row)[-1] == "Order cancelled"
    assert "The report cannot be withdrawn" in page(admin_client, row)


def test_what_a_user_sent_again_or_cancelled_names_the_user(
    admin_client: Client, admin_user: User
) -> None:
    row = recorded()
    Conversion.objects.update(state=State.EXPIRED, reason="expired", due_at=None)
    again = reverse("admin:connectly_tracking_conversion_send-again", args=[row.pk])
    cancel = reverse("admin:connectly_tracking_conversion_cancel", args=[row.pk])
    admin_client.post(again, {"confirmed": "yes"})
    admin_client.post(cancel, {"confirmed": "yes"})
    name = admin_user.get_username()
    titles = told(admin_client, row)[-2:]
    assert titles == [f"Sent again by {name}", f"Report cancelled by {name}"]


def test_what_no_user_did_names_none(admin_client: Client, admin_user: User) -> None:
    row = recorded()
    Conversion.objects.update(state=State.EXPIRED, reason="expired", due_at=None)
    # One that a user sent again yesterday, and connectly_replay today.
    LogEntry.objects.log_actions(
        admin_user.pk, Conversion.objects.all(), CHANGE, SEND_AGAIN.log_message
    )
    LogEntry.objects.update(action_time=timezone.now() - timedelta(days=1))
    outbox.replay(Conversion.objects.all())
    outbox.cancel(row.order_id)
    assert told(admin_client, row)[-2:] == ["Sent again", "Order cancelled"]


def test_the_request_is_shown_as_a_command_without_the_key(
    admin_client: Client, sandbox: Sandbox
) -> None:
    row = recorded()
    html = page(admin_client, row)
    assert "key-for-tests-only" not in html
    found = re.search(r'<pre[^>]*id="connectly-curl"[^>]*>(.*?)</pre>', html, re.S)
    assert found
    words = shlex.split(unescape(found[1]).replace("\\\n", ""))
    assert words[:3] == ["curl", "-X", "POST"]
    assert words[3].startswith(sandbox.url + "/external/v1/businesses/")
    assert "X-API-KEY: $CONNECTLY_API_KEY" in words
    assert words[-1] == row.body


def test_without_a_click_there_is_no_command(admin_client: Client) -> None:
    row = outbox.record(make_purchase())
    assert "connectly-curl" not in page(admin_client, row)


def test_of_a_business_that_is_gone_there_is_no_command(admin_client: Client) -> None:
    row = recorded()
    Conversion.objects.update(business="gone")
    assert "connectly-curl" not in page(admin_client, row)


def test_an_order_whose_number_was_refused_is_not_said_to_be_missing(
    admin_client: Client,
) -> None:
    row = outbox.record(make_purchase("A" * 200), attribution=make_click())
    html = page(admin_client, row)
    assert "never recorded" not in html
    assert "the data from the shop was not valid" in html


def test_a_content_view_has_a_page_too(admin_client: Client) -> None:
    row = recorded()
    Conversion.objects.update(event_name="ViewContent", order_id="")
    assert "What happened" in page(admin_client, row)


def test_a_parameter_that_was_repaired_is_not_said_to_be_lost(
    admin_client: Client,
) -> None:
    click = make_click()
    click.refused = "attribution_source: normalized, ad_id: empty"
    click.save()
    row = outbox.record(make_purchase(), attribution=click)
    url = reverse("admin:connectly_tracking_conversion_change", args=[row.pk])
    html = admin_client.get(url).content.decode()
    assert f"repaired or not kept: {click.refused}" in html
    url = reverse("admin:connectly_tracking_attribution_change", args=[click.pk])
    html = unescape(admin_client.get(url).content.decode())
    assert "Parameters of the link that were repaired or not kept, and why." in html
