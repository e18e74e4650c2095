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
from connectly_tracking.models import Pause, zoned_text
from connectly_tracking.reports import explain

from ..conftest import make_click, make_purchase

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
    pk = Pause.objects.get().pk if "pause" in page else row.pk
    arguments = [pk] if page.endswith("_change") else []
    url = reverse(f"admin:connectly_tracking_{page}", args=arguments)
    html = unescape(admin_client.get(url, {"q": "ORD-7821"}).content.decode())
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
    assert "UTC-05" in explain("ORD-7821")


@pytest.mark.parametrize(
    "sheet", ["static/connectly_tracking/admin.css", "sandbox/page.css"]
)
def test_a_style_sheet_knows_no_left_or_right(sheet: str) -> None:
    rules = re.sub(r"/\*.*?\*/", "", (PACKAGE / sheet).read_text(), flags=re.S)
    physical = r"[\s;{](?:(?:margin|padding|border)-(?:left|right)|left|right)\s*:"
    assert re.findall(physical, rules) == []
    assert re.findall(r"(?:text-align|float)\s*:\s*(?:left|right)", rules) == []
