"""The campaigns page: its figures, and that each leads to exactly its orders."""

from __future__ import annotations

import csv
import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.admin.display import csv_cell
from connectly_tracking.admin.earnings import percent
from connectly_tracking.api.landing import Landing
from connectly_tracking.models import CampaignName, Conversion, DeliveryAttempt, State

from ..conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db
PAGE = reverse("admin:connectly_tracking_campaign_changelist")
LIST = reverse("admin:connectly_tracking_conversion_changelist")
DAY = 86_400


def order(
    number: int,
    *,
    sendout: str = "send-1",
    ad: str = "ad-1",
    age: float = 60,
    state: str = State.DELIVERED,
    reason: str = "",
    page: str = "/",
    **purchase: Any,
) -> Conversion:
    landing = Landing(
        cnct_tracking_id=f"track-{number}",
        sendout_id=sendout,
        ctwa_clid=f"clid-{number}",
        ad_id=ad,
    )
    click = make_click(landing, age=age, page=page)
    row = outbox.record(make_purchase(f"ORD-{number}", **purchase), attribution=click)
    if state != row.state and row.state == State.PENDING and state != State.PENDING:
        Conversion.objects.filter(pk=row.pk).update(
            state=state, reason=reason, due_at=None
        )
    return row


@pytest.fixture
def history(admin_client: Client) -> Client:
    order(1, value="10.10")
    order(2, value="5.05", ad="ad-2", page="/mug/")
    order(3, value="2000", currency="COP", state=State.REJECTED, reason="refused")
    order(4, value="7", sendout="send-2", state=State.PENDING)
    order(5, value="9", age=40 * DAY)  # outside the window
    order(6, value="3", age=8 * DAY)
    order(7, value="4", sendout="", ad="ad-3")
    outbox.record(make_purchase("ORD-8"))
    outbox.record(make_purchase("ORD-9", value="6"), attribution=make_click())
    outbox.cancel("ORD-9")
    return admin_client


def links(html: str) -> list[tuple[str, str]]:
    """Address and number of each figure that leads to orders."""
    found = re.findall(rf'<a href="({LIST}\?figure=[^"]*)">([\d,]+)</a>', html)
    return [(unescape(url), number) for url, number in found]


@pytest.mark.parametrize("by", ["campaign", "ad", "day", "page", "business"])
@pytest.mark.parametrize("campaign", ["", "&campaign=send-1"])
def test_each_figure_leads_to_exactly_its_orders(
    history: Client, by: str, campaign: str
) -> None:
    html = history.get(f"{PAGE}?by={by}{campaign}").content.decode()
    found = links(html)
    assert len(found) > 8
    for url, number in found:
        page = history.get(url)
        shown = re.findall(r"field-order", page.content.decode())
        assert len(shown) == int(number), url
        assert f"Orders: <strong>{number}</strong>" in " ".join(
            page.content.decode().split()
        )


def test_the_figures_of_clicks_lead_to_them(history: Client) -> None:
    html = history.get(f"{PAGE}?by=ad").content.decode()
    clicks = reverse("admin:connectly_tracking_attribution_changelist")
    found = re.findall(rf'<a href="({clicks}\?[^"]*)">(\d+)</a>', html)
    assert len(found) == 6  # of the page, of each ad, and of all
    for url, number in found:
        page = history.get(unescape(url)).content.decode()
        assert page.count("field-captured") == int(number), url


def test_a_list_says_what_it_is_filtered_by_and_adds_it_up(history: Client) -> None:
    CampaignName.objects.create(id="send-1", name="Black <b>Friday</b>")
    today = timezone.localdate()
    query = {
        "figure": "orders",
        "sendout_id": "send-1",
        "placed": f"{today - timedelta(days=29)}..{today}",
    }
    html = history.get(LIST, query).content.decode()
    chosen = html.partition('class="connectly-chosen"')[2].partition("</section>")[0]
    assert "orders credited to a click" in chosen
    assert "Black &lt;b&gt;Friday&lt;/b&gt; (send-1)" in chosen
    assert "<strong>4</strong> · 2,000.00\xa0COP · 18.15\xa0USD" in chosen
    kept = [
        parse_qs(urlsplit(unescape(it)).query)
        for it in re.findall('href="(.*?)"', chosen)
    ]
    assert sorted(len(it) for it in kept) == [2, 2, 2]
    assert "connectly-chosen" not in history.get(LIST).content.decode()


def test_a_campaign_leads_to_its_ads(history: Client) -> None:
    html = history.get(PAGE).content.decode()
    assert "?period=30&amp;by=ad&amp;campaign=send-2" in html
    html = history.get(f"{PAGE}?by=ad&campaign=send-2").content.decode()
    assert "ad-1" in html
    assert "ad-2" not in html


def test_currencies_are_never_added_up_across(history: Client) -> None:
    html = history.get(PAGE).content.decode()
    assert "2,000.00\xa0COP" in html
    assert "25.15\xa0USD" in html
    assert "2,025" not in html


@pytest.mark.parametrize("by", ["campaign", "ad", "day", "page", "business"])
def test_the_rate_of_all_is_the_same_by_whatever_it_is_grouped(
    admin_client: Client, by: str
) -> None:
    now = timezone.now()
    click = make_click(age=4 * DAY)
    make_click(age=60)
    for days in range(3):
        at = now - timedelta(days=days, seconds=1)
        outbox.record(make_purchase(days, event_time=at), attribution=click)
    html = admin_client.get(f"{PAGE}?by={by}").content.decode()
    figures = html.partition("Conversion rate")[2].partition("Time to purchase")[0]
    whole = html.partition("<tfoot")[2].partition("</tfoot>")[0]
    for text in (figures, whole):
        assert re.findall(r"[\d.]+\xa0%", text) == ["50.0\xa0%"]


def test_an_amount_has_as_many_places_as_its_currency(admin_client: Client) -> None:
    order(1, value="1.235", currency="KWD")
    order(2, value="0.005", sendout="send-2")
    order(3, value="0.01", sendout="send-2")
    order(4, value="1.235", currency="BHD", sendout="send-3")
    order(5, value="1.235", currency="BHD", sendout="send-3")
    html = admin_client.get(PAGE).content.decode()
    average = html.partition("Average order")[2].partition("Conversion rate")[0]
    for text in ("1.235\xa0KWD", "0.008\xa0USD", "1.235\xa0BHD"):
        assert text in average
    assert html.count("1.235\xa0KWD") == 4  # revenue and average, of all and of the row
    assert "2.47\xa0BHD" in html
    rows = {row["campaign"]: row for row in rows_of(admin_client, f"{PAGE}csv/")}
    assert rows["send-1"]["average"] == "1.235"
    assert rows["send-2"]["average"] == "0.008"
    listed = admin_client.get(LIST, {"ad_id": "ad-1"}).content.decode()
    assert "1.235\xa0KWD" in listed


def test_what_was_not_reported_has_reasons_and_money(history: Client) -> None:
    html = history.get(PAGE).content.decode()
    lost = html.partition('id="connectly-lost"')[2]
    assert "Connectly or Meta refused it" in lost
    assert "2,000.00\xa0COP" in lost
    assert "The click was older than the attribution window" in lost
    assert "9.00\xa0USD" in lost


def test_the_period_before_is_beside_it(admin_client: Client) -> None:
    now = timezone.now()
    order(1, event_time=now - timedelta(days=9), age=10 * DAY, value="1.00")
    order(2, value="2.00")
    html = admin_client.get(f"{PAGE}?period=7").content.decode()
    assert "previous period: 1.00\xa0USD" in html


@pytest.mark.parametrize(
    "query",
    [
        "period=x",
        "period=2026-13",
        "from=2026-02-30&to=x",
        "from=2026-03-01&to=2026-02-01",
        "from=0001-01-01&to=9999-12-31",
        "by=nothing",
        "business=none&campaign=%00",
        "period=2026-10&by=day",
        "from=2000-01-01&to=2199-12-31&by=day",
    ],
)
def test_whatever_is_asked_for_it_answers(admin_client: Client, query: str) -> None:
    assert admin_client.get(f"{PAGE}?{query}").status_code == 200
    assert admin_client.get(f"{PAGE}csv/?{query}").status_code == 200


@pytest.mark.parametrize("by", ["campaign", "ad", "day", "page", "business"])
def test_it_costs_at_most_six_statements(history: Client, by: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        history.get(f"{PAGE}?by={by}")
    ours = [q["sql"] for q in queries if "connectly_tracking_" in q["sql"]]
    assert len(ours) <= 6


def test_only_who_may_view_campaigns_sees_them(
    staff: Callable[..., Client], history: Client
) -> None:
    client = staff("view_campaign")
    assert client.get(PAGE).status_code == 200
    assert client.get(f"{PAGE}csv/").status_code == 200
    assert client.get(LIST).status_code == 403
    assert client.get(f"{LIST}csv/").status_code == 403
    client.logout()
    assert client.get(PAGE).status_code == 302


def test_others_are_refused(staff: Callable[..., Client]) -> None:
    client = staff("view_conversion", "view_campaignname")
    assert client.get(PAGE).status_code == 403
    assert client.get(f"{PAGE}csv/").status_code == 403
    assert client.get(f"{LIST}csv/").status_code == 200


def rows_of(client: Client, url: str) -> list[dict[str, str]]:
    response: Any = client.get(url)
    assert response.streaming
    text = b"".join(response.streaming_content).decode()
    return [*csv.DictReader(text.splitlines())]


def test_the_report_is_a_csv_file(history: Client) -> None:
    CampaignName.objects.create(id="send-1", name="=HYPERLINK(1)", sent=1000)
    rows = rows_of(history, f"{PAGE}csv/?by=campaign")
    first = [row for row in rows if row["campaign"] == "send-1"]
    assert [(row["currency"], row["revenue"]) for row in first] == [
        ("COP", "2000.00"),
        ("USD", "18.15"),
    ]
    assert first[0]["name"] == "'=HYPERLINK(1)"
    assert first[0]["sent"] == "1000"
    assert {row["campaign"] for row in rows} == {"send-1", "send-2", ""}


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.29, "29.0"), (2 / 3, "66.7"), (1 / 3, "33.3"), (0.9996, "100.0"), (0, "0.0")],
)
def test_a_share_is_rounded_and_not_cut(share: float, text: str) -> None:
    assert percent(share) == f"{text}\N{NO-BREAK SPACE}%"


def test_a_median_of_less_than_a_minute_is_0_seconds(admin_client: Client) -> None:
    order(1, age=30)
    (row,) = rows_of(admin_client, f"{PAGE}csv/")
    assert row["median_seconds_to_purchase"] == "0"


def test_a_filtered_list_is_a_csv_file(history: Client) -> None:
    rows = rows_of(history, f"{LIST}csv/?state__exact=delivered")
    assert [row["order_id"] for row in rows] == ["ORD-7", "ORD-6", "ORD-2", "ORD-1"][1:]
    assert rows[-1]["value"] == "10.10"
    assert re.fullmatch(
        r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", rows[0]["event_time"]
    )
    assert len(rows_of(history, f"{LIST}csv/")) == 9


@pytest.mark.parametrize("query", ["p=999", "p=-1", "p=x", "e=1", "user__x=1"])
def test_what_the_list_refuses_the_csv_file_refuses_alike(
    admin_client: Client, query: str
) -> None:
    for number in range(51):
        outbox.record(make_purchase(number))
    listed = admin_client.get(f"{LIST}?{query}")
    answer = admin_client.get(f"{LIST}csv/?{query}")
    assert answer.status_code == listed.status_code
    if listed.status_code == 302:
        assert answer["Location"] == f"{LIST}?e=1"


@pytest.mark.parametrize("query", ["reason=%00", "q=%00", "business=a%00b"])
def test_a_nul_is_refused_before_the_database_sees_it(
    admin_client: Client, query: str
) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert admin_client.get(f"{LIST}csv/?{query}").status_code == 400
    assert not [q for q in queries if "connectly_tracking_" in q["sql"]]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        (" =1", "' =1"),
        ("\N{FULLWIDTH EQUALS SIGN}1", "'\N{FULLWIDTH EQUALS SIGN}1"),
        ("-5", "-5"),
        ("-5.25", "-5.25"),
        (-5, "-5"),
        (Decimal("-5.250000"), "-5.25"),
        (Decimal("1234567.5"), "1234567.50"),
        (Decimal("0.001"), "0.001"),
        ("a=b", "a=b"),
        ("a;=1+1", "a;'=1+1"),
        ("a; @SUM(A1)", "a; '@SUM(A1)"),
        ('a;"+1', "a;\"'+1"),
        ("a\n=1", "a\n'=1"),
        ("=1;=2", "'=1;'=2"),
        ("a;b", "a;b"),
        ("", ""),
        (None, ""),
    ],
)
def test_no_cell_is_a_formula(value: object, cell: str) -> None:
    assert csv_cell(value) == cell


def test_the_list_is_filtered_by_time_left_tries_and_answers(
    admin_client: Client, configure: Any
) -> None:
    now = timezone.now()
    old = order(
        1, state=State.PENDING, event_time=now - timedelta(days=6, hours=5), age=7 * DAY
    )
    new = order(2, state=State.PENDING)
    Conversion.objects.filter(pk=new.pk).update(attempts=3)
    DeliveryAttempt.objects.create(
        conversion=new, started_at=now, finished_at=now, status_code=502
    )

    def listed(**query: str) -> list[str]:
        html = admin_client.get(LIST, query).content.decode()
        return re.findall(r"field-order[^>]*><a[^>]*>(.*?)</a>", html)

    assert listed(left="soon") == [old.order_id]
    assert set(listed(left="any")) == {old.order_id, new.order_id}
    assert listed(tries="2-4") == [new.order_id]
    assert listed(tries="0") == [old.order_id]
    assert listed(status="502") == [new.order_id]
    assert listed(status="503") == []
    assert listed(status="none") == []
    assert len(listed(status="y", tries="x", left="y", figure="z", placed="q")) == 2
    html = admin_client.get(LIST).content.decode()
    assert "time left: 19 hours" in html or "time left: 18 hours" in html


def test_names_are_edited_in_place(admin_client: Client) -> None:
    CampaignName.objects.create(id="send-1", name="one")
    url = reverse("admin:connectly_tracking_campaignname_changelist")
    assert 'name="form-0-name"' in admin_client.get(url).content.decode()
    admin_client.post(
        url,
        {
            "form-TOTAL_FORMS": "1",
            "form-INITIAL_FORMS": "1",
            "form-0-id": "send-1",
            "form-0-name": "Black Friday",
            "_save": "Save",
        },
    )
    assert CampaignName.objects.get().name == "Black Friday"


def test_markup_in_ids_and_names_is_only_text(admin_client: Client) -> None:
    order(1, sendout="<b>send</b>x", ad="'\"><img/src=x>", page="/<script>/")
    CampaignName.objects.create(id="<b>send</b>x", name="<script>alert(1)</script>")
    for by in ("campaign", "ad", "page"):
        html = admin_client.get(
            f"{PAGE}?by={by}&campaign=%3Cb%3Esend%3C/b%3Ex"
        ).content.decode()
        assert "<script>alert" not in html
        assert "<img/src" not in html
        assert "<b>send" not in html
