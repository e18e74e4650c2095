"""What Connectly's support asks for can be copied from the order's page."""

from __future__ import annotations

import re
from datetime import datetime
from html import unescape
from typing import TYPE_CHECKING

import pytest

from connectly_tracking import outbox
from connectly_tracking.conf import conf
from connectly_tracking.delivery import deliver
from connectly_tracking.models import DeliveryAttempt

from ..conftest import make_click, make_purchase
from .test_story import page

if TYPE_CHECKING:
    from django.test import Client

    from connectly_tracking.models import Conversion
    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db


def recorded() -> Conversion:
    return outbox.record(make_purchase(), attribution=make_click(age=60))


def copied(client: Client, row: Conversion) -> str:
    found = re.search(
        r'<pre[^>]*id="connectly-support"[^>]*>(.*?)</pre>', page(client, row), re.S
    )
    return unescape(found[1]) if found else ""


@pytest.mark.parametrize(
    ("behaviour", "status", "answer"),
    [
        ("400:(#100) <b>fbtrace_id Abc</b>", "400 (refused)", "<b>fbtrace_id Abc</b>"),
        ("ok", "200 (confirmed)", "-"),
        ("503", "503 (unavailable)", "503"),
    ],
)
def test_address_times_body_status_and_answer_are_there_and_the_key_is_not(
    admin_client: Client, sandbox: Sandbox, behaviour: str, status: str, answer: str
) -> None:
    row = recorded()
    sandbox.behave(behaviour)
    deliver()
    text = copied(admin_client, row)
    lines = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    assert lines["Request"].startswith(f"POST {sandbox.url}/external/v1/businesses/")
    assert lines["Body"] == row.body
    assert lines["Status"] == status
    assert answer in lines["Answer and trace ids"]
    for name in ("Sent", "Answered"):
        assert datetime.fromisoformat(lines[name]).tzinfo is not None
    key = conf.business("default").api_key.reveal()
    assert key not in page(admin_client, row)


def test_trace_ids_in_the_kept_answer_are_copied(
    admin_client: Client, sandbox: Sandbox
) -> None:
    row = recorded()
    deliver()
    kept = '{"events_received": 1, "fbtrace_id": "Abc"}\nx-request-id: 7f'
    DeliveryAttempt.objects.update(detail=kept)
    assert copied(admin_client, row).endswith(kept)


def test_without_a_request_there_is_nothing_to_copy(admin_client: Client) -> None:
    assert copied(admin_client, recorded()) == ""
