"""No page of the admin reads the API key: it may come from a vault that is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from connectly_tracking import outbox
from connectly_tracking.models import (
    Attribution,
    Circuit,
    Conversion,
    DbNow,
    Pause,
    State,
)
from connectly_tracking.reports import explain

from ..conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client

pytestmark = pytest.mark.django_db
CONVERSIONS = reverse("admin:connectly_tracking_conversion_changelist")


@pytest.fixture
def vault(configure: Any) -> Iterator[list[str]]:
    """A key for each business that notes when it is read."""
    read: list[str] = []

    def key() -> str:
        read.append("read")
        raise AssertionError("a page waits for the vault")

    configure(
        API_KEY=key,
        BUSINESSES={
            "br": {
                "BUSINESS_ID": "1b671a64-40d5-491e-99b0-da01ff1f3341",
                "API_KEY": key,
            }
        },
    )
    yield read
    assert not read


def rows() -> dict[str, Conversion]:
    """One for each way in which a page could ask for the key."""
    found = {
        str(state): outbox.record(
            make_purchase(f"ORD-{state}"), attribution=make_click()
        )
        for state in State
    }
    for state, row in found.items():
        waits = state in {State.PENDING, State.SENDING}
        due_at = DbNow(-600) if waits else None  # overdue
        Conversion.objects.filter(pk=row.pk).update(state=state, due_at=due_at)
    for alias in ("br", "gone"):
        found[alias] = outbox.record(
            make_purchase(f"ORD-{alias}"), attribution=make_click()
        )
        Conversion.objects.filter(pk=found[alias].pk).update(
            business=alias, due_at=DbNow(-600)
        )
    return found


def urls(found: dict[str, Conversion]) -> Iterator[str]:
    yield reverse("admin:index")
    yield reverse("admin:app_list", args=["connectly_tracking"])
    yield CONVERSIONS
    yield f"{CONVERSIONS}?state__exact=pending&business=br"
    yield f"{CONVERSIONS}?q=unknown"
    for row in found.values():
        yield f"{CONVERSIONS}?q={row.order_id}"
        for page in ("change", "history", "send-again", "cancel"):
            yield reverse(f"admin:connectly_tracking_conversion_{page}", args=[row.pk])
    yield reverse("admin:connectly_tracking_conversion_status")
    click = Attribution.objects.first()
    assert click is not None
    yield reverse("admin:connectly_tracking_attribution_changelist")
    yield reverse("admin:connectly_tracking_attribution_change", args=[click.pk])
    yield reverse("admin:connectly_tracking_pause_changelist")
    yield reverse("admin:connectly_tracking_pause_by_hand")
    for pause in Pause.objects.all():
        yield reverse("admin:connectly_tracking_pause_change", args=[pause.pk])
    yield reverse("admin:shop_order_changelist")


@pytest.mark.parametrize("paused", [False, True])
def test_no_page_reads_it(admin_client: Client, vault: list[str], paused: bool) -> None:
    circuits = Circuit.objects.all()
    circuits.pause("br", reason="configuration", paused_until=DbNow(60))
    if not paused:
        circuits.resume("br", by="probe")
    for url in urls(rows()):
        assert admin_client.get(url).status_code == 200, url
        assert not vault, url


@pytest.mark.parametrize("action", ["send_again", "cancel"])
def test_no_action_reads_it(
    admin_client: Client, vault: list[str], action: str
) -> None:
    found = rows()
    chosen = {ACTION_CHECKBOX_NAME: [it.pk for it in found.values()], "action": action}
    for data in (chosen, chosen | {"confirmed": "yes"}):
        answer = admin_client.post(CONVERSIONS, data, follow=True)
        assert answer.status_code == 200


def test_no_explanation_reads_it(vault: list[str]) -> None:
    for row in rows().values():
        assert explain(row.order_id)


def test_a_key_from_a_vault_counts_as_a_key(
    admin_client: Client, vault: list[str]
) -> None:
    page = admin_client.get(reverse("admin:connectly_tracking_conversion_status"))
    assert "API_KEY" not in page.content.decode()
