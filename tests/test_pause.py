"""Pauses have a history, and a person may begin and end one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection, transaction
from django.urls import reverse
from django.utils.html import escape

from connectly_tracking import outbox
from connectly_tracking.admin.display import clock
from connectly_tracking.delivery import deliver
from connectly_tracking.exceptions import InvalidEvent
from connectly_tracking.models import Circuit, Conversion, DbNow, Pause
from connectly_tracking.remedies import FOR_PAUSE
from connectly_tracking.signals import delivery_paused, delivery_resumed
from example_project.shop.admin import OrderAdmin
from example_project.shop.models import Order

from .conftest import make_click, make_product, make_purchase

if TYPE_CHECKING:
    from django.test import Client

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
LIST = reverse("admin:connectly_tracking_conversion_changelist")
BY_HAND = reverse("admin:connectly_tracking_pause_by_hand")


def record(*numbers: str) -> None:
    for number in numbers:
        outbox.record(make_purchase(number), attribution=make_click())


def test_a_pause_is_kept_with_its_reason_its_end_and_what_it_held(
    sandbox: Sandbox,
) -> None:
    sandbox.behave("401", times=1)
    record("A-1", "A-2", "A-3")
    deliver()
    pause = Pause.objects.get()
    assert (pause.business, pause.reason) == ("default", "configuration")
    assert pause.detail.startswith("401")
    assert (pause.ended, pause.ended_by) == (None, "")
    Circuit.objects.update(paused_until=DbNow(-1))
    deliver()
    pause.refresh_from_db()
    assert pause.ended is not None
    assert pause.ended > pause.began
    assert (pause.ended_by, pause.held) == ("probe", 3)
    assert set(Conversion.objects.values_list("state", flat=True)) == {"delivered"}


def test_one_pause_is_one_row_even_if_its_reason_changes(sandbox: Sandbox) -> None:
    record("A-1", "A-2")
    sandbox.behave("429:60", times=1)
    deliver()
    Circuit.objects.update(paused_until=DbNow(-1))
    sandbox.behave("401", times=1)
    deliver()
    pause = Pause.objects.get()
    assert (pause.reason, pause.ended) == ("configuration", None)


def test_while_a_person_has_paused_it_nothing_is_sent(sandbox: Sandbox) -> None:
    record("A-1")
    heard: list[Any] = []

    def listen(signal: Any, business: str, **words: Any) -> None:
        heard.append((signal is delivery_paused, business, words.get("detail")))

    delivery_paused.connect(listen)
    delivery_resumed.connect(listen)
    try:
        assert outbox.pause("default", detail="ana: stocktaking")
        assert not outbox.pause("default", detail="bo: again")
        deliver()
        assert sandbox.requests == []
        assert outbox.resume("default", by="ana")
        assert not outbox.resume("default", by="ana")
    finally:
        delivery_paused.disconnect(listen)
        delivery_resumed.disconnect(listen)
    assert heard == [
        (True, "default", "ana: stocktaking"),
        (False, "default", None),
    ]
    deliver()
    assert Conversion.objects.get().state == "delivered"
    pause = Pause.objects.get()
    assert (pause.reason, pause.ended_by, pause.held) == ("by_hand", "ana", 1)


def test_a_user_whose_name_is_probe_is_not_an_answered_order(
    admin_client: Client, sandbox: Sandbox
) -> None:
    def ended_by() -> list[str]:
        url = reverse("admin:connectly_tracking_pause_changelist")
        html = admin_client.get(url).content.decode()
        return re.findall(r'class="field-ended_how">(.*?)</td>', html)

    outbox.pause("default")
    outbox.resume("default", by="probe")
    assert ended_by() == ["probe"]
    record("A-1", "A-2")
    sandbox.behave("401", times=1)
    deliver()
    Circuit.objects.update(paused_until=DbNow(-1))
    deliver()
    assert ended_by() == ["an answered order", "probe"]


def test_an_answer_that_comes_later_does_not_end_it(sandbox: Sandbox) -> None:
    """Another worker's request was under way when a person paused the business."""
    record("A-1", "A-2")
    sandbox.behave("401", times=1)
    deliver()
    Circuit.objects.update(paused_until=DbNow(-1))

    Circuit.objects.update(reason=Circuit.Reason.BY_HAND)
    deliver()
    assert len(sandbox.requests) == 1
    assert not outbox.resume("br", by="ana")
    assert Circuit.objects.get().is_by_hand


def test_an_unknown_business_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="business"):
        outbox.pause("typo")


def test_it_is_paused_and_resumed_in_the_admin(
    admin_client: Client, sandbox: Sandbox
) -> None:
    record("A-1")
    data = {"business": "default", "why": "<b>stock</b>", "pause": "Pause"}
    page = admin_client.post(BY_HAND, data, follow=True).content.decode()
    assert "Paused default." in page
    assert "admin: &lt;b&gt;stock&lt;/b&gt;" in page
    deliver()
    assert sandbox.requests == []
    for url in banner_pages():
        page = admin_client.get(url).content.decode()
        banner = (
            "Sending is paused for default: by hand. To resume sending, open Pauses "
            "in the admin and choose &quot;Pause or resume by hand&quot;."
        )
        assert page.count(banner) == 1, url
    page = admin_client.post(
        BY_HAND, {"resume": "default"}, follow=True
    ).content.decode()
    assert "Resumed default." in page
    assert Pause.objects.get().ended_by == "admin"
    messages = LogEntry.objects.values_list("change_message", flat=True)
    assert set(messages) == {"Paused default.", "Resumed default."}
    page = admin_client.get(reverse("admin:index")).content.decode()
    assert "Sending is paused" not in page


@pytest.mark.parametrize(("codename", "status"), [("", 403), ("pause_business", 200)])
def test_it_takes_a_permission_of_its_own(
    client: Client, codename: str, status: int
) -> None:
    user = User.objects.create(username="staff", is_staff=True)
    wanted = ["view_pause", "view_conversion", codename]
    user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    client.force_login(user)
    assert client.get(BY_HAND).status_code == status
    listed = client.get(reverse("admin:connectly_tracking_pause_changelist"))
    assert ("Pause or resume by hand" in listed.content.decode()) is (status == 200)


def test_without_a_reason_nothing_is_paused(admin_client: Client) -> None:
    for data in ({"business": "default"}, {"business": "typo", "why": "x"}):
        admin_client.post(BY_HAND, {**data, "pause": "Pause"})
    assert not Pause.objects.exists()


def test_the_index_opens_before_our_tables_are_there(admin_client: Client) -> None:
    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        table = "connectly_tracking_circuit"
        return execute(sql.replace(table, "no_such_table"), params, many, context)

    with transaction.atomic(), connection.execute_wrapper(refuse):
        page = admin_client.get(reverse("admin:index"))
        assert User.objects.exists()  # the transaction is whole
    assert page.status_code == 200
    assert "Sending is paused" not in page.content.decode()


@pytest.mark.parametrize("reason", set(Circuit.Reason) - {Circuit.Reason.BY_HAND})
def test_every_banner_says_what_to_do(admin_client: Client, reason: str) -> None:
    record("A-1")
    Circuit.objects.pause("default", reason=reason, paused_until=DbNow(60))
    remedy = escape(FOR_PAUSE[reason])
    for url in banner_pages():
        assert admin_client.get(url).content.decode().count(f". {remedy} <a") == 1, url


def test_a_banner_does_not_wait_for_the_next_page(admin_client: Client) -> None:
    record("A-1")
    outbox.pause("default", detail="ana: stocktaking")
    assert admin_client.get(LIST + "csv/").status_code == 200
    gone = reverse("admin:connectly_tracking_conversion_change", args=[0])
    assert admin_client.get(gone).status_code == 302
    page = admin_client.get(LIST).content.decode()
    assert page.count("Sending is paused for default") == 1


def test_who_may_not_view_conversions_sees_no_banner(client: Client) -> None:
    user = User.objects.create(username="staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_order"))
    client.force_login(user)
    outbox.pause("default", detail="ana: stocktaking")
    order = Order.objects.place(make_product(), quantity=1)
    for url in (
        reverse("admin:index"),
        reverse("admin:shop_order_changelist"),
        reverse("admin:shop_order_change", args=[order.pk]),
    ):
        page = client.get(url)
        assert page.status_code == 200
        assert "Sending is paused" not in page.content.decode()


def test_an_order_without_our_inline_has_the_banner_too(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OrderAdmin, "inlines", [])
    outbox.pause("default", detail="ana: stocktaking")
    order = Order.objects.place(make_product(), quantity=1)
    page = admin_client.get(reverse("admin:shop_order_change", args=[order.pk]))
    assert page.content.decode().count("Sending is paused for default") == 1


def test_the_next_try_is_that_of_the_pause(admin_client: Client) -> None:
    """On the list and on each order's own page, also if the order's own is sooner."""
    record("A-1", "A-2")
    Conversion.objects.filter(order_id="A-2").update(due_at=DbNow(5 * 3600))
    Circuit.objects.pause("default", reason="unavailable", paused_until=DbNow(7200))
    until = Circuit.objects.get().paused_until
    own = Conversion.objects.get(order_id="A-2").due_at
    page = admin_client.get(LIST).content.decode()
    assert page.count(f"next attempt {clock(until)}") == 1
    assert page.count(f"next attempt {clock(own)}") == 1
    assert next_tries(admin_client) == {"A-1": clock(until), "A-2": clock(own)}


def test_while_a_person_has_paused_it_no_next_try_is_named(
    admin_client: Client,
) -> None:
    record("A-1")
    outbox.pause("default", detail="ana: stocktaking")
    page = admin_client.get(LIST).content.decode()
    assert "next attempt <time" not in page
    assert "waits until sending is resumed by hand" in page
    assert "time left: " in page
    assert next_tries(admin_client) == {"A-1": "waits until sending is resumed by hand"}
    Conversion.objects.update(state="delivered", due_at=None)
    assert next_tries(admin_client) == {"A-1": "-"}


def banner_pages() -> list[str]:
    order = Order.objects.place(make_product(), quantity=1)
    row = Conversion.objects.all()[0]
    return [
        reverse("admin:index"),
        reverse("admin:shop_order_changelist"),
        reverse("admin:shop_order_change", args=[order.pk]),
        LIST,
        reverse("admin:connectly_tracking_conversion_change", args=[row.pk]),
    ]


def next_tries(client: Client) -> dict[str, str]:
    found = {}
    for row in Conversion.objects.all():
        url = reverse("admin:connectly_tracking_conversion_change", args=[row.pk])
        page = client.get(url).content.decode()
        shown = re.search(r'field-next_try".*?readonly">(.*?)</div>', page, re.S)
        assert shown is not None
        found[row.order_id] = shown[1]
    return found
