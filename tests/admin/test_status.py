"""The delivery status page."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from connectly_tracking import outbox
from connectly_tracking.admin import status
from connectly_tracking.delivery import deliver
from connectly_tracking.models import Circuit, Conversion, DbNow

from ..conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
STATUS = reverse("admin:connectly_tracking_conversion_status")


def facts(client: Client) -> dict[str, str]:
    page = unescape(client.get(STATUS).content.decode())
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))


def summary(client: Client) -> str:
    page = unescape(client.get(STATUS).content.decode())
    found = re.search(r'connectly-level-(\w+)">(.*?)</p>', page)
    assert found
    return f"{found[1]}: {found[2]}"


def record(count: int = 1) -> None:
    for number in range(count):
        outbox.record(make_purchase(f"ORD-{number}"), attribution=make_click())


def test_where_nothing_waits_all_is_well(
    admin_client: Client, sandbox: Sandbox
) -> None:
    assert summary(admin_client) == "wait: Nothing has been sent yet."
    record()
    deliver()
    assert summary(admin_client) == "good: All is well."
    shown = facts(admin_client)
    assert (shown["Waiting"], shown["Ready to send"], shown["Oldest ready since"]) == (
        "0",
        "0",
        "-",
    )
    assert f">{timezone.now():%Y-%m-%d} " in shown["Last delivered"]


def test_what_waits_is_counted_with_the_time_it_has_left(admin_client: Client) -> None:
    record(3)
    Conversion.objects.filter(order_id="ORD-0").update(due_at=DbNow(600))
    old = timezone.now() - timedelta(days=5, minutes=30)
    Conversion.objects.filter(order_id="ORD-1").update(event_time=old)
    shown = facts(admin_client)
    assert (shown["Waiting"], shown["Ready to send"]) == ("3", "2")
    assert shown["Oldest waiting order expires in"] == "1 day, 23 hours"
    assert summary(admin_client) == "good: Orders are being sent."


def test_what_waits_is_a_click_away(admin_client: Client) -> None:
    assert "Show waiting orders" not in admin_client.get(STATUS).content.decode()
    record(2)
    Conversion.objects.filter(order_id="ORD-1").update(state="delivered", due_at=None)
    page = unescape(admin_client.get(STATUS).content.decode())
    link = re.search(r'href="([^"]*)">Show waiting orders', page)
    assert link
    shown = admin_client.get(link[1]).content.decode()
    assert "ORD-0" in shown
    assert "ORD-1" not in shown


def test_what_nobody_takes_is_an_alarm(admin_client: Client) -> None:
    record()
    Conversion.objects.update(due_at=DbNow(-600))
    assert (
        summary(admin_client) == "bad: Orders are due, but no worker is sending them."
    )
    page = admin_client.get(STATUS).content.decode()
    assert "run connectly_deliver" in page


@pytest.mark.parametrize(
    ("reason", "level"),
    [
        ("configuration", "bad"),
        ("refusals", "bad"),
        ("unavailable", "wait"),
        ("throttled", "wait"),
    ],
)
def test_a_pause_is_said_with_the_answer_and_the_remedy(
    admin_client: Client, reason: str, level: str
) -> None:
    Circuit.objects.create(
        business="default",
        reason=reason,
        detail="503: <b>down</b>",
        paused_until=DbNow(60),
        changed_at=DbNow(),
    )
    label = Circuit.Reason(reason).label
    assert summary(admin_client) == f"{level}: Paused: {label}."
    page = admin_client.get(STATUS).content.decode()
    assert "503: &lt;b&gt;down&lt;/b&gt;" in page
    assert "Next attempt" in facts(admin_client)


def test_each_business_stands_by_itself_also_one_that_is_gone(
    admin_client: Client, configure: Any, settings: Any
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own})
    record()
    Conversion.objects.update(business="gone")
    page = admin_client.get(STATUS).content.decode()
    headings = re.findall(r"<h2 id=\"connectly-business[^>]*>(.*?)</h2>", page)
    assert headings == ["default", "br", "gone"]


def test_without_a_key_it_says_that_nothing_is_sent(
    admin_client: Client, configure: Any
) -> None:
    configure(API_KEY=None)
    assert summary(admin_client) == "bad: Nothing is sent."
    assert "API_KEY" in admin_client.get(STATUS).content.decode()


def test_with_sending_off_it_says_so(admin_client: Client, configure: Any) -> None:
    configure(SEND=False)
    assert (
        "Sending is switched off: SEND is False"
        in admin_client.get(STATUS).content.decode()
    )


def test_without_an_age_the_time_left_counts_from_the_record(
    admin_client: Client, configure: Any
) -> None:
    configure(MAX_EVENT_AGE=None)
    record()
    now = timezone.now()
    Conversion.objects.update(
        event_time=now - timedelta(days=100),
        recorded_at=now - timedelta(days=10, minutes=1),
    )
    shown = facts(admin_client)
    assert shown["Oldest waiting order expires in"] == "19 days, 23 hours"


def test_it_is_for_those_who_may_see_conversions(
    staff: Callable[..., Client],
) -> None:
    assert staff().get(STATUS).status_code == 403


def test_the_list_leads_to_it(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:connectly_tracking_conversion_changelist"))
    assert f'href="{STATUS}"' in page.content.decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"SEND": "yes"},
        {"BUSINESSES": 7},
        {"MAX_EVENT_AGE": "soon"},
        {"RETENTION": -1},
        {"RECORD_UNATTRIBUTED": "maybe"},
    ],
)
def test_a_setting_that_is_wrong_is_said_and_breaks_no_page(
    admin_client: Client, configure: Any, wrong: dict[str, Any]
) -> None:
    record()
    (row,) = Conversion.objects.all()
    change = reverse("admin:connectly_tracking_conversion_change", args=[row.pk])
    changelist = reverse("admin:connectly_tracking_conversion_changelist")
    clicks = reverse("admin:connectly_tracking_attribution_changelist")
    configure(**wrong)
    page = admin_client.get(STATUS).content.decode()
    assert "A setting is wrong, so nothing is sent." in page
    assert next(iter(wrong)) in page
    for url in (change, changelist, f"{changelist}?q=nobody", clicks):
        assert admin_client.get(url).status_code == 200


def durations(client: Client) -> list[tuple[str, ...]]:
    page = unescape(client.get(STATUS).content.decode())
    table = page.partition("connectly-durations")[2].partition("</table>")[0]
    cells = [re.findall(r"<td>(.*?)</td>", it) for it in table.split("<tr>")[2:]]
    return [tuple(re.sub("<[^>]*>", "", it) for it in row) for row in cells]


def took(day: datetime, *seconds: float) -> None:
    """Orders recorded at that time that were delivered so many seconds later."""
    for number, it in enumerate(seconds):
        outbox.record(
            make_purchase(f"{day:%Y-%m-%d %H}-{number}"), attribution=make_click()
        )
        Conversion.objects.filter(state="pending").update(
            state="delivered",
            due_at=None,
            recorded_at=day + timedelta(milliseconds=number),
            delivered_at=day + timedelta(milliseconds=number, seconds=it),
        )


def test_how_long_it_took_is_exact_by_day(admin_client: Client, settings: Any) -> None:
    settings.TIME_ZONE = "America/Bogota"
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    took(midnight - timedelta(days=1), *range(10, 1020, 10))
    took(midnight - timedelta(minutes=1), 70)
    took(midnight - timedelta(days=2), 1.96)
    took(midnight - timedelta(days=20), 9)
    assert durations(admin_client) == [
        (date_format(midnight - timedelta(days=1)), "102", "505.0 s", "959.5 s"),
        (date_format(midnight - timedelta(days=2)), "1", "2.0 s", "2.0 s"),
    ]


def test_a_day_that_is_timed_in_part_says_so(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "MAX_TIMED", 2)
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    took(midnight - timedelta(days=1), 90, 2, 4)
    took(midnight - timedelta(days=2), 8, 8)
    assert [row[1:] for row in durations(admin_client)] == [
        ("3 (timed: the newest 2)", "3.0 s", "3.9 s"),
        ("2", "8.0 s", "8.0 s"),
    ]
