"""The shop's own admin of its orders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.contrib.admin import AdminSite
from django.contrib.auth.models import Permission, User
from django.contrib.staticfiles import finders
from django.core.checks import run_checks
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import path, reverse

from connectly_tracking import outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.models import Conversion
from connectly_tracking.signals import order_completed
from example_project.shop.admin import OrderAdmin
from example_project.shop.models import Order

from ..conftest import make_click, make_product

if TYPE_CHECKING:
    from django.test import Client

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
LIST = reverse("admin:shop_order_changelist")


class Backoffice(AdminSite):
    """A shop's own, without our pages; Django's is not there."""

    index_template = "admin/connectly_tracking/index.html"


backoffice = Backoffice(name="backoffice")
backoffice.register(Order, OrderAdmin)
urlpatterns = [path("backoffice/", backoffice.urls)]


def place(*, attributed: bool = True) -> Order:
    order = Order.objects.place(make_product(), quantity=1)
    click = make_click() if attributed else None
    order_completed.send(sender=Order, order=order, attribution=click)
    return order


def page(client: Client, order: Order) -> str:
    return client.get(
        reverse("admin:shop_order_change", args=[order.pk])
    ).content.decode()


def test_an_orders_page_shows_what_became_of_it(
    admin_client: Client, sandbox: Sandbox
) -> None:
    order = place()
    deliver()
    html = page(admin_client, order)
    row = Conversion.objects.get()
    assert "Reported to Connectly" in html
    assert 'connectly-delivered">delivered' in html
    assert reverse("admin:connectly_tracking_conversion_change", args=[row.pk]) in html


def test_an_order_without_a_row_has_none_to_show(admin_client: Client) -> None:
    order = place()
    Conversion.objects.all().delete()
    html = page(admin_client, order)
    assert "Reported to Connectly" in html
    assert "connectly-badge" not in html


def test_an_orders_page_leads_nowhere_that_only_its_customer_may_go(
    admin_client: Client,
) -> None:
    assert "View on site" not in page(admin_client, place())


def test_an_order_is_still_saved_from_its_page(admin_client: Client) -> None:
    order = place()
    (line,) = order.lines.all()
    answer = admin_client.post(
        reverse("admin:shop_order_change", args=[order.pk]),
        {
            "total": "12.34",
            "currency": "USD",
            "email": "",
            "placed_at_0": "2026-11-01",
            "placed_at_1": "10:00:00",
            "lines-TOTAL_FORMS": 1,
            "lines-INITIAL_FORMS": 1,
            "lines-0-id": line.pk,
            "lines-0-order": order.pk,
            "lines-0-sku": line.sku,
            "lines-0-name": line.name,
            "lines-0-quantity": 2,
            "lines-0-price": line.price,
        },
    )
    assert answer.status_code == 302
    order.refresh_from_db()
    assert str(order.total) == "12.34"
    assert Conversion.objects.get().value != order.total


def test_the_list_has_two_columns_more_and_no_query_for_each(
    admin_client: Client,
) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(LIST)
        return len(queries)

    place()
    one = statements()
    for _ in range(5):
        place(attributed=False)
    assert statements() == one
    html = admin_client.get(LIST).content.decode()
    assert 'connectly-pending">pending' in html
    assert 'connectly-skipped">skipped' in html
    assert "send-1" in html


def test_who_may_not_view_conversions_sees_none_beside_the_orders(
    client: Client,
) -> None:
    order = place()
    ada = User.objects.create_user("ada", is_staff=True)
    ada.user_permissions.add(Permission.objects.get(codename="view_order"))
    client.force_login(ada)
    for html in (client.get(LIST).content.decode(), page(client, order)):
        assert order.number in html
        assert "connectly-badge" not in html
        assert "send-1" not in html
    ada.user_permissions.add(Permission.objects.get(codename="view_conversion"))
    for html in (client.get(LIST).content.decode(), page(client, order)):
        assert 'connectly-pending">pending' in html
        assert "send-1" in html


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("is_paused", [False, True])
def test_in_an_admin_of_the_shops_own_ours_need_not_be_there(
    admin_client: Client, is_paused: bool
) -> None:
    orders = [place(), place(attributed=False), place()]
    Conversion.objects.filter(order_id=orders[2].number).delete()
    if is_paused:
        outbox.pause("default", detail="ana: <stocktaking>")
    pages = [reverse("admin:index"), reverse("admin:shop_order_changelist")]
    pages += [reverse("admin:shop_order_change", args=[it.pk]) for it in orders]
    for url in pages:
        assert url.startswith("/backoffice/")
        html = admin_client.get(url).content.decode()
        assert html.count("Sending is paused for default") == is_paused
        assert "Delivery status" not in html


def test_django_finds_nothing_wrong_with_it() -> None:
    assert not [it for it in run_checks() if it.id and it.id.startswith("admin.")]


def test_our_style_touches_nothing_of_the_shops_own_pages() -> None:
    path = finders.find("connectly_tracking/admin.css")
    assert isinstance(path, str)
    text = re.sub(r"/\*.*?\*/", "", Path(path).read_text("utf-8"), flags=re.S)
    rules = re.findall(r"([^{}]+)\{[^{}]*\}", text)
    # Commas within parentheses are part of a selector.
    selectors = [it.strip() for rule in rules for it in re.split(r",(?![^(]*\))", rule)]
    assert len(selectors) > 50
    themes = (":root", "html[data-", "html.dark", "html:not(")  # variables alone
    ours = ("connectly-", "connectly_tracking")
    assert not [
        it
        for it in selectors
        if not it.startswith(themes) and not any(name in it for name in ours)
    ]
