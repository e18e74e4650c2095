"""Every page has one format for times, with the zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.urls import reverse

import connectly_tracking
from connectly_tracking import outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.models import OrderAttribution, Pause, key_of, zoned_text
from connectly_tracking.reports import explain
from connectly_tracking.signals import order_completed
from example_project.shop.models import Order

from ..conftest import make_click, make_product, make_purchase
from .pages import make_rows, pages

if TYPE_CHECKING:
    from django.test import Client

    from connectly_tracking.sandbox import Sandbox

PACKAGE: Final = Path(connectly_tracking.__file__).parent
AT: Final = datetime(2026, 7, 1, 12, 30, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "2026-07-01 12:30 UTC"),
        ("America/Sao_Paulo", "2026-07-01 09:30 UTC-03"),
        ("Europe/Madrid", "2026-07-01 14:30 CEST"),
        ("Asia/Kathmandu", "2026-07-01 18:15 UTC+0545"),
    ],
)
def test_a_time_names_its_zone(settings: Any, zone: str, text: str) -> None:
    settings.TIME_ZONE = zone
    assert zoned_text(AT) == text


@pytest.mark.django_db
@pytest.mark.parametrize(
    "page",
    [
        "attribution_change",
        "attribution_changelist",
        "conversion_change",
        "conversion_changelist",
        "conversion_status",
        "pause_change",
        "pause_changelist",
    ],
)
def test_a_page_has_one_format_and_machines_can_read_it(
    admin_client: Client, sandbox: Sandbox, settings: Any, page: str
) -> None:
    settings.TIME_ZONE = "America/Bogota"
    row = outbox.record(make_purchase(), attribution=make_click(age=3600))
    deliver()
    outbox.pause("default", detail="ana: stocktaking")
    binding = OrderAttribution(order_id="ORD-1", key=key_of("ORD-1"))
    binding.attribution = row.attribution
    binding.save()
    of_page = {"pause": Pause.objects.get(), "attribution": row.attribution}
    chosen: Any = of_page.get(page.partition("_")[0], row)
    arguments = [chosen.pk] if page.endswith("_change") else []
    url = reverse(f"admin:connectly_tracking_{page}", args=arguments)
    query = {} if "attribution" in page else {"q": "ORD-7821"}
    html = unescape(admin_client.get(url, query).content.decode())
    check(html)
    assert "UTC-05" in explain("ORD-7821")


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["UTC", "America/Bogota"])
def test_every_page_and_file_is_there_without_use_tz(
    admin_client: Client, settings: Any, zone: str
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, zone
    make_rows()
    answers = {name: admin_client.get(url) for name, (_, url) in pages().items()}
    broken = {name: it for name, it in answers.items() if it.status_code >= 400}
    # Who may do everything may not do this.
    assert {name.rpartition("_")[2] for name in broken} == {"add", "delete"}
    for name in ("campaign_changelist", "campaign_csv", "conversion_csv"):
        answer = answers[name]
        assert answer.status_code == 200
        assert b"send-1" in answer.getvalue()


@pytest.mark.django_db
def test_the_shops_page_of_an_order_has_that_format_too(
    admin_client: Client, sandbox: Sandbox, settings: Any
) -> None:
    settings.TIME_ZONE = "America/Bogota"
    order = Order.objects.place(make_product(), quantity=1)
    order_completed.send(sender=Order, order=order, attribution=make_click())
    deliver()
    url = reverse("admin:shop_order_change", args=[order.pk])
    html = unescape(admin_client.get(url).content.decode())
    check(html.partition('id="connectly-group"')[2].partition("</fieldset>")[0])


def check(html: str) -> None:
    text = re.sub(r'<script.*?</script>|datetime="[^"]*"', "", html, flags=re.S)
    times = re.findall(
        r"\d\d?:\d\d(?::\d\d)?[^<.,]{0,7}", re.sub("<pre.*?/pre>", "", text, flags=re.S)
    )
    assert times
    assert all(re.match(r"\d\d:\d\d UTC-05", it) for it in times), times
    assert not re.search(r"[ap]\.m\.", text)
    marked = re.findall(r'<time [^>]*datetime="([^"]+)"', html)
    assert marked
    assert all(datetime.fromisoformat(it).tzinfo for it in marked)
    assert "<time>" not in html


@pytest.mark.parametrize(
    "sheet", ["static/connectly_tracking/admin.css", "sandbox/page.css"]
)
def test_a_style_sheet_knows_no_left_or_right(sheet: str) -> None:
    rules = re.sub(r"/\*.*?\*/", "", (PACKAGE / sheet).read_text(), flags=re.S)
    physical = r"[\s;{](?:(?:margin|padding|border)-(?:left|right)|left|right)\s*:"
    assert re.findall(physical, rules) == []
    assert re.findall(r"(?:text-align|float)\s*:\s*(?:left|right)", rules) == []
