"""The lists: by period, by campaign, in pages, and without counting a table."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.admin import readonly
from connectly_tracking.api.landing import Landing
from connectly_tracking.models import Attribution, CampaignName, Circuit, Conversion

from ..conftest import make_click, make_purchase

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db
LIST = reverse("admin:connectly_tracking_conversion_changelist")
CLICKS = reverse("admin:connectly_tracking_attribution_changelist")
PAUSES = reverse("admin:connectly_tracking_pause_changelist")


def record(number: int, *, days: float = 0, sendout: str = "send-1") -> Conversion:
    click = make_click(
        Landing(
            cnct_tracking_id=f"track-{number}",
            sendout_id=sendout,
            ctwa_clid=f"clid-{number}",
            ad_id=f"ad-{number}",
            attribution_source="meta_ctwa",
        )
    )
    row = outbox.record(make_purchase(f"ORD-{number}"), attribution=click)
    at = timezone.now() - timedelta(days=days)
    Conversion.objects.filter(pk=row.pk).update(recorded_at=at)
    Attribution.objects.filter(pk=click.pk).update(captured_at=at)
    return row


def listed(client: Client, query: str = "") -> list[str]:
    html = client.get(f"{LIST}{query}").content.decode()
    return re.findall(r"field-order[^>]*><a[^>]*>(.*?)</a>", html)


def test_the_newest_come_first(admin_client: Client) -> None:
    record(1, days=1)
    record(2)
    record(3, days=2)
    assert listed(admin_client) == ["ORD-2", "ORD-1", "ORD-3"]


def test_a_period_is_asked_for_by_words_by_month_or_by_day(
    admin_client: Client,
) -> None:
    for number, days in enumerate([0, 1, 3, 20, 70]):
        record(number, days=days)
    day = f"{timezone.now() - timedelta(days=20):%Y-%m-%d}"
    month = f"{timezone.now() - timedelta(days=70):%Y-%m}"
    assert listed(admin_client, "?when=today") == ["ORD-0"]
    assert listed(admin_client, "?when=yesterday") == ["ORD-1"]
    assert listed(admin_client, "?when=7") == ["ORD-0", "ORD-1", "ORD-2"]
    assert listed(admin_client, f"?when={day}") == ["ORD-3"]
    assert "ORD-4" in listed(admin_client, f"?when={month}")
    for text in ("2026-13", "9999-12-31", "0001-01-01", "0001-01", "soon"):
        assert (
            len(listed(admin_client, f"?when={text}")) == 5
        )  # as if it were not there


def test_the_months_and_days_keep_the_other_filters(admin_client: Client) -> None:
    record(1)
    month = f"{timezone.now():%Y-%m}"
    html = admin_client.get(f"{LIST}?state__exact=pending&when={month}&p=2")
    dates = html.content.decode().partition("connectly-dates")[2].partition("</nav>")[0]
    links = re.findall(r'href="(.*?)"', dates)
    assert f"?state__exact=pending&amp;when={month}" in links
    assert f"?state__exact=pending&amp;when={month}-01" in links
    assert not [link for link in links if "p=2" in link]
    today = timezone.localdate()
    assert len([link for link in links if f"when={month}-" in link]) == today.day


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_today_is_a_link_wherever_the_day_has_begun(
    admin_client: Client, zone: str
) -> None:
    with timezone.override(zone):  # at any time it is another day in one of them
        today = timezone.localdate()
        html = admin_client.get(f"{LIST}?when={today:%Y-%m}").content.decode()
    days = re.findall(r"when=(\d{4}-\d\d-\d\d)", html)
    assert days[-1] == f"{today:%Y-%m-%d}"


def test_a_campaign_and_an_ad_lead_to_their_orders(admin_client: Client) -> None:
    record(1, sendout="a & b")
    record(2)
    html = admin_client.get(LIST).content.decode()
    assert "?sendout_id=a+%26+b" in html
    assert listed(admin_client, "?sendout_id=a+%26+b") == ["ORD-1"]
    assert listed(admin_client, "?ad_id=ad-2") == ["ORD-2"]
    assert listed(admin_client, "?q=a+%26+b") == ["ORD-1"]
    assert listed(admin_client, "?q=ad-2") == ["ORD-2"]


def test_each_id_of_a_click_leads_to_its_orders_and_to_the_click(
    admin_client: Client,
) -> None:
    record(1, sendout="send-a")
    record(2, sendout="send-b")
    for term in ("send-a", "ad-1", "clid-1", "track-1"):
        assert listed(admin_client, f"?q={term}") == ["ORD-1"]
        html = admin_client.get(f"{CLICKS}?q={term}").content.decode()
        assert re.findall(r'title="(ad-.*?)"', html) == ["ad-1"]
    assert listed(admin_client, "?q=clid") == []  # exactly


def test_who_asks_for_a_click_and_finds_its_orders_did_not_ask_for_an_order(
    admin_client: Client,
) -> None:
    record(1)
    assert "never recorded" not in admin_client.get(f"{LIST}?q=ad-1").content.decode()
    assert "waiting to be sent" in admin_client.get(f"{LIST}?q=ORD-1").content.decode()
    assert "never recorded" in admin_client.get(f"{LIST}?q=ORD-2").content.decode()


def test_a_page_costs_two_statements_and_counts_no_table(admin_client: Client) -> None:
    for number in range(3):
        record(number)
    for query in ("", "?state__exact=pending", "?when=today", "?event_name__exact=x"):
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(LIST + query)
        ours = [q["sql"] for q in queries if "connectly_tracking_" in q["sql"]]
        # The rows, the counted ones, the pauses; a list that is filtered is added up.
        assert len(ours) <= (4 if query else 3)
        counts = [sql for sql in ours if "COUNT(" in sql and "SUM(" not in sql]
        assert all("LIMIT" in sql for sql in counts)


def test_where_there_are_too_many_the_newest_are_shown(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readonly, "MAX_COUNTED", 2)
    for number in range(4):
        record(number)
    html = admin_client.get(LIST).content.decode()
    assert "the newest 2" in html
    Conversion.objects.filter(order_id__in=["ORD-0", "ORD-1", "ORD-2"]).delete()
    assert "1 conversion" in admin_client.get(LIST).content.decode()


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        ("pause", ["business", "began", "ended", "reason"]),
        ("campaignname", ["sent", "link_clicks"]),
        ("conversion", []),
        ("attribution", []),
    ],
)
def test_the_columns_that_may_be_sorted_by_are_links(
    admin_client: Client, model: str, columns: list[str]
) -> None:
    record(1)
    CampaignName.objects.create(id="send-1", name="one")
    Circuit.objects.pause("default", reason="throttled", paused_until=timezone.now())
    url = reverse(f"admin:connectly_tracking_{model}_changelist")
    html = admin_client.get(url).content.decode()
    assert re.findall(r'class="sortable column-(\w+)', html) == columns


def test_a_business_that_is_not_in_the_settings_is_a_filter_once_a_link_asks_for_it(
    admin_client: Client,
) -> None:
    record(1)
    record(2)
    Conversion.objects.filter(order_id="ORD-2").update(business="gone")
    Attribution.objects.filter(ad_id="ad-2").update(business="gone")
    assert "business=" not in admin_client.get(LIST).content.decode()
    assert listed(admin_client, "?left=any&business=gone") == ["ORD-2"]
    assert listed(admin_client, "?business=default") == ["ORD-1"]
    html = admin_client.get(f"{LIST}?left=any&business=gone").content.decode()
    chosen = html.partition('class="connectly-chosen"')[2].partition("</section>")[0]
    assert re.search(r"business.*gone", chosen, re.S)
    html = admin_client.get(f"{CLICKS}?business=gone").content.decode()
    assert re.findall(r'title="(ad-.*?)"', html) == ["ad-2"]


def test_clicks_are_found_by_period_and_by_number(admin_client: Client) -> None:
    record(1)
    record(2, days=3)
    click = Attribution.objects.get(ad_id="ad-1")

    def shown(query: str) -> list[str]:
        html = admin_client.get(f"{CLICKS}{query}").content.decode()
        return re.findall(r'title="(ad-.*?)"', html)

    assert shown("") == ["ad-1", "ad-2"]
    assert shown("?when=today") == ["ad-1"]
    assert shown(f"?q={click.pk}") == ["ad-1"]
    assert shown("?q=no-number") == []


def test_a_click_whose_link_lacked_an_id_shows_that_it_did(
    admin_client: Client,
) -> None:
    record(1)
    Attribution.objects.update(sendout_id="")
    html = admin_client.get(CLICKS).content.decode()
    assert "<div>-</div><div><span" in html


def test_a_click_names_the_orders_that_it_earned(admin_client: Client) -> None:
    record(1)
    click = Attribution.objects.get()
    page = reverse("admin:connectly_tracking_attribution_change", args=[click.pk])
    html = admin_client.get(page).content.decode()
    assert "ORD-1" in html
    assert 'connectly-pending">pending' in html


def test_an_empty_list_says_what_would_fill_it(admin_client: Client) -> None:
    html = admin_client.get(LIST).content.decode()
    assert "No order has been recorded yet." in html
    html = admin_client.get(CLICKS).content.decode()
    assert "No click has been recorded yet." in html
    html = admin_client.get(f"{CLICKS}?q=track-1").content.decode()
    assert "No click has been recorded yet." not in html
    html = admin_client.get(PAUSES).content.decode()
    assert "Sending has never been paused." in html
    Circuit.objects.pause("default", reason="throttled", paused_until=timezone.now())
    html = admin_client.get(PAUSES).content.decode()
    assert "never been paused" not in html
    html = admin_client.get(f"{LIST}?state__exact=pending").content.decode()
    assert "No order has been recorded yet." not in html


def test_a_filter_has_nothing_that_a_theme_takes_for_a_model_field() -> None:
    """Grappelli reads the name of a filter's ``field``, and fails if that is a text."""
    ours = [
        chosen
        for model, model_admin in admin.site._registry.items()
        if model._meta.app_label == "connectly_tracking"
        for chosen in model_admin.list_filter
        if isinstance(chosen, type) and issubclass(chosen, admin.SimpleListFilter)
    ]
    assert ours
    assert [each for each in ours if hasattr(each, "field")] == []
