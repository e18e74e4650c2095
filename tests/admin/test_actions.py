"""Send again and cancel: who may, what is asked, what is done."""

from __future__ import annotations

from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.urls import reverse

from connectly_tracking import outbox
from connectly_tracking.admin import actions
from connectly_tracking.delivery import deliver
from connectly_tracking.models import Conversion, State

from ..conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from connectly_tracking.sandbox import Sandbox

    Staff = Callable[..., Client]

pytestmark = pytest.mark.django_db
VIEW, SEND, CANCEL = (
    "view_conversion",
    "send_again_conversion",
    "cancel_conversion",
)
LIST = reverse("admin:connectly_tracking_conversion_changelist")


def url(row: Conversion, change: str) -> str:
    return reverse(f"admin:connectly_tracking_conversion_{change}", args=[row.pk])


def record(number: int = 1) -> Conversion:
    return outbox.record(make_purchase(f"ORD-{number}"), attribution=make_click())


@pytest.fixture
def rejected(sandbox: Sandbox) -> Conversion:
    row = record()
    sandbox.behave("400:no")
    deliver()
    sandbox.clear()
    return row


def fresh(row: Conversion) -> Conversion:
    return Conversion.objects.get(pk=row.pk)


def test_what_was_refused_is_sent_again_once_somebody_confirms(
    staff: Staff, rejected: Conversion, sandbox: Sandbox
) -> None:
    client = staff(VIEW, SEND)
    page = client.get(url(rejected, "send-again")).content.decode()
    assert "Connectly may already have counted this order" in page
    assert "ORD-1, 99.97 USD: rejected" in page
    assert fresh(rejected).state == State.REJECTED  # nothing by looking
    answer = client.post(url(rejected, "send-again"), {"confirmed": "yes"}, follow=True)
    assert "1 report will be sent again." in answer.content.decode()
    assert fresh(rejected).state == State.PENDING
    assert deliver() == {State.DELIVERED: 1}
    assert sandbox.events[0].body == rejected.body.encode()
    entry = LogEntry.objects.get()
    assert entry.object_id == str(rejected.pk)
    assert entry.get_change_message() == "Changed report: sent again."


@pytest.mark.parametrize(
    ("language", "sent_again", "cancelled"),
    [
        ("en", "Changed report: sent again.", "Changed report: cancelled."),
        ("es", "reporte: enviado de nuevo.", "reporte: cancelado."),
        ("pt-br", "reporte: enviado de novo.", "reporte: cancelado."),
    ],
)
def test_the_history_of_a_conversion_is_in_the_readers_language(
    admin_client: Client,
    rejected: Conversion,
    settings: Any,
    language: str,
    sent_again: str,
    cancelled: str,
) -> None:
    for change in ("send-again", "cancel"):
        admin_client.post(url(rejected, change), {"confirmed": "yes"})
    settings.LANGUAGE_CODE = language
    html = admin_client.get(url(rejected, "history")).content.decode()
    assert sent_again in html
    assert cancelled in html


def test_while_sending_is_switched_off_it_is_said_that_a_report_waits(
    staff: Staff, rejected: Conversion, configure: Any
) -> None:
    configure(SEND=False)
    waits = "SEND is False in the settings. Reports wait until it is True."
    client = staff(VIEW, SEND)
    assert waits in client.get(url(rejected, "send-again")).content.decode()
    answer = client.post(url(rejected, "send-again"), {"confirmed": "yes"}, follow=True)
    html = answer.content.decode()
    assert f"1 report will be sent again. Sending is switched off: {waits}" in html
    assert 'class="warning"' in html
    assert (fresh(rejected).state, deliver()) == (State.PENDING, {})


def test_while_sending_is_switched_off_a_report_is_cancelled_as_ever(
    staff: Staff, configure: Any
) -> None:
    row = record()
    configure(SEND=False)
    client = staff(VIEW, CANCEL)
    assert "SEND is False" not in client.get(url(row, "cancel")).content.decode()
    answer = client.post(url(row, "cancel"), {"confirmed": "yes"}, follow=True)
    assert "SEND is False" not in answer.content.decode()


def test_what_waits_is_cancelled(staff: Staff, sandbox: Sandbox) -> None:
    row = record()
    client = staff(VIEW, CANCEL)
    page = client.get(url(row, "cancel")).content.decode()
    assert "If it has, it cannot be undone" in page
    assert "Yes, cancel the report" in page  # a mere "Cancel" might also mean "no"
    client.post(url(row, "cancel"), {"confirmed": "yes"})
    assert (fresh(row).state, fresh(row).reason) == (State.SKIPPED, "cancelled")
    assert not deliver()


def test_what_was_delivered_keeps_its_state_when_it_is_cancelled(
    staff: Staff, sandbox: Sandbox
) -> None:
    row = record()
    deliver()
    staff(VIEW, CANCEL).post(url(row, "cancel"), {"confirmed": "yes"})
    assert fresh(row).state == State.DELIVERED
    assert fresh(row).cancelled_at is not None


@pytest.mark.parametrize("change", ["send-again", "cancel"])
@pytest.mark.parametrize("allowed", [[VIEW], [SEND, CANCEL], []])
def test_nobody_else_may(
    staff: Staff, rejected: Conversion, change: str, allowed: list[str]
) -> None:
    client = staff(*allowed)
    for method in (client.get, client.post):
        response = method(url(rejected, change), {"confirmed": "yes"})
        assert response.status_code == 403
    assert fresh(rejected).state == State.REJECTED
    assert fresh(rejected).cancelled_at is None


def test_the_buttons_are_there_for_whoever_may(
    staff: Staff, rejected: Conversion
) -> None:
    here = reverse("admin:connectly_tracking_conversion_change", args=[rejected.pk])
    client = staff(VIEW, SEND)
    page = client.get(here).content.decode()
    assert 'href="../send-again/"' in page
    assert 'href="../cancel/"' not in page


def test_what_cannot_be_done_has_no_button(
    admin_client: Client, sandbox: Sandbox
) -> None:
    row = record()
    deliver()
    outbox.cancel(row.order_id)
    here = reverse("admin:connectly_tracking_conversion_change", args=[row.pk])
    page = admin_client.get(here).content.decode()
    assert 'href="../send-again/"' not in page
    assert 'href="../cancel/"' not in page
    asked = admin_client.get(url(row, "send-again")).content.decode()
    assert (
        "1 of the chosen reports cannot be changed. A report can be sent again if"
        in asked
    )
    assert "Yes, send again" not in asked


def test_a_row_that_is_not_there_is_not_found(admin_client: Client) -> None:
    path = reverse("admin:connectly_tracking_conversion_cancel", args=[99])
    assert admin_client.get(path).status_code == 404


def choose(client: Client, rows: list[Conversion], action: str, **more: Any) -> str:
    data = {ACTION_CHECKBOX_NAME: [row.pk for row in rows], "action": action}
    return client.post(LIST, data | more, follow=True).content.decode()


def test_many_are_sent_again_and_the_others_left_alone(
    staff: Staff, rejected: Conversion, sandbox: Sandbox
) -> None:
    client, waits = staff(VIEW, SEND), record(2)
    rows = [rejected, waits]
    page = choose(client, rows, "send_again")
    assert "1 of the chosen reports cannot be changed." in page
    assert fresh(rejected).state == State.REJECTED
    page = choose(client, rows, "send_again", confirmed="yes")
    assert "1 report will be sent again. 1 report was not changed." in page
    assert deliver() == {State.DELIVERED: 2}


def test_a_no_leads_back_to_where_the_question_came_from(admin_client: Client) -> None:
    row = record()
    page = admin_client.get(url(row, "cancel")).content.decode()
    here = reverse("admin:connectly_tracking_conversion_change", args=[row.pk])
    assert f'<a href="{here}" class="connectly-button connectly-cancel">' in page
    chosen = {ACTION_CHECKBOX_NAME: [row.pk], "action": "cancel"}
    filtered = f"{LIST}?state__exact=pending&ad_id={row.ad_id}"
    page = unescape(admin_client.post(filtered, chosen).content.decode())
    assert f'<a href="{filtered}" class="connectly-button connectly-cancel">' in page


def test_the_actions_are_offered_to_whoever_may(staff: Staff) -> None:
    record()
    page = staff(VIEW, CANCEL).get(LIST).content.decode()
    assert 'value="cancel"' in page
    assert 'value="send_again"' not in page


def test_too_many_at_once_are_refused(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "MAX_CHOSEN", 1)
    page = choose(admin_client, [record(1), record(2)], "cancel", confirmed="yes")
    assert "Choose at most 1 reports at a time." in page
    assert set(Conversion.objects.values_list("state", flat=True)) == {State.PENDING}


def test_two_people_at_once_send_it_again_once(
    admin_client: Client, rejected: Conversion, sandbox: Sandbox
) -> None:
    for _ in range(2):
        admin_client.post(url(rejected, "send-again"), {"confirmed": "yes"})
    assert deliver() == {State.DELIVERED: 1}
    assert LogEntry.objects.count() == 1


def test_of_a_business_that_is_gone_nothing_is_sent_again_or_logged(
    admin_client: Client, rejected: Conversion
) -> None:
    Conversion.objects.update(business="gone")
    page = admin_client.get(url(rejected, "send-again")).content.decode()
    assert (
        "1 of the chosen reports cannot be changed. A report can be sent again if"
        in page
    )
    admin_client.post(url(rejected, "send-again"), {"confirmed": "yes"})
    assert fresh(rejected).state == State.REJECTED
    assert not LogEntry.objects.exists()


def test_as_many_as_may_be_chosen_can_be_confirmed(
    admin_client: Client, settings: Any
) -> None:
    # CSRF token, action and confirmation come on top.
    assert actions.MAX_CHOSEN + 50 < settings.DATA_UPLOAD_MAX_NUMBER_FIELDS


def logged() -> set[str]:
    """The rows that a log entry names."""
    return {str(entry.object_id) for entry in LogEntry.objects.all()}


def test_orders_of_a_business_that_left_the_settings_are_cancelled_and_logged(
    admin_client: Client,
) -> None:
    rows = [record(1), record(2), record(3)]
    Conversion.objects.filter(order_id="ORD-2").update(business="gone")
    page = choose(admin_client, rows, "cancel", confirmed="yes")
    assert "3 reports were cancelled." in page
    assert {fresh(row).state for row in rows} == {State.SKIPPED}
    assert all(fresh(row).cancelled_at for row in rows)
    assert logged() == {str(row.pk) for row in rows}


def test_one_order_of_a_business_that_left_the_settings_is_cancelled_from_its_page(
    admin_client: Client,
) -> None:
    row = record()
    Conversion.objects.update(business="gone")
    answer = admin_client.post(url(row, "cancel"), {"confirmed": "yes"}, follow=True)
    assert "1 report was cancelled." in answer.content.decode()
    assert (fresh(row).state, fresh(row).reason) == (State.SKIPPED, "cancelled")
    assert logged() == {str(row.pk)}


def test_an_order_whose_number_was_refused_is_cancelled_and_logged(
    admin_client: Client,
) -> None:
    row = outbox.record(make_purchase("A" * 200), attribution=make_click())
    admin_client.post(url(row, "cancel"), {"confirmed": "yes"})
    assert fresh(row).cancelled_at is not None
    assert logged() == {str(row.pk)}


@pytest.mark.sqlite
@pytest.mark.parametrize("action", ["cancel", "send_again"])
def test_when_one_of_many_fails_none_is_changed_and_the_page_says_so(
    admin_client: Client, action: str
) -> None:
    rows = [record(1), record(2), record(3)]
    if action == "send_again":
        Conversion.objects.update(state=State.EXPIRED, reason="expired", due_at=None)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER broken BEFORE UPDATE ON connectly_tracking_conversion "
            f"WHEN OLD.id = {rows[1].pk} BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    page = choose(admin_client, rows, action, confirmed="yes")
    assert "Nothing was changed: the database reported an error" in page
    assert len({fresh(row).state for row in rows}) == 1
    assert not any(fresh(row).cancelled_at or fresh(row).replayed_at for row in rows)
    assert not logged()


@pytest.mark.sqlite
@pytest.mark.parametrize("action", ["cancel", "send_again"])
def test_what_cannot_be_logged_is_not_changed(
    admin_client: Client, action: str
) -> None:
    row = record()
    if action == "send_again":
        Conversion.objects.update(state=State.EXPIRED, reason="expired", due_at=None)
    before = fresh(row).state
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON django_admin_log "
            "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    page = choose(admin_client, [row], action, confirmed="yes")
    assert "Nothing was changed: the database reported an error" in page
    assert fresh(row).state == before
    assert not logged()


@pytest.mark.parametrize("wrong", [{"BUSINESSES": 7}, {"BUSINESSES": {"a b": {}}}])
def test_with_wrong_settings_nothing_is_sent_again_and_the_page_says_why(
    admin_client: Client, rejected: Conversion, configure: Any, wrong: dict[str, Any]
) -> None:
    configure(**wrong)
    page = choose(admin_client, [rejected], "send_again", confirmed="yes")
    assert "its business is in the settings" in page
    assert fresh(rejected).state == State.REJECTED
    assert not logged()
