"""A number as a customer says it leads to the order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectly_tracking.models import Conversion, EventName, State, key_of
from connectly_tracking.reports import explain
from connectly_tracking.reports.similar import similar_orders

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db


def recorded(*order_ids: str, event: EventName = EventName.PURCHASE) -> None:
    Conversion.objects.bulk_create(
        Conversion(
            event_name=event,
            key=key_of(order_id if event == EventName.PURCHASE else str(number)),
            order_id=order_id,
            state=State.DELIVERED,
            recorded_at=timezone.now(),
        )
        for number, order_id in enumerate(order_ids)
    )


@pytest.mark.parametrize(
    ("order_id", "texts"),
    [
        (
            "ORD-1497",
            [
                *("1497", "ord-1497", "#ORD-1497", " ORD-1497 ", "ORD 1497", "ORD1497"),
                *("001497", "ORD-01497", "ord_1497", "Order 1497", "pedido nº 1497"),
                *(
                    "Ord\u20131497.",
                    "#1497",
                    "1 497",
                    "\uff11\uff14\uff19\uff17",
                    "ORD/1497",
                ),
            ],
        ),
        ("#1001", ["1001", "# 1001", "order #1001", "01001"]),
        ("000001497", ["1497", "#1497", "ORD-1497", "0001497"]),
        ("INV/2026/0042", ["42", "0042", "inv 2026 42", "2026-42", "inv/2026/0042"]),
        ("0042/2026", ["42", "42/2026"]),
        ("w42x", ["W42X", "42", "w-42-x"]),
        ("A1B2C3", ["a1b2c3", "a1b2-c3"]),
        ("Summer", ["summer", "SUMMER", "#Summer"]),
    ],
)
def test_however_it_is_written_it_is_asked_for(order_id: str, texts: list[str]) -> None:
    recorded("ORD-7", order_id, "ORD-8")
    for text in texts:
        if text.strip() == order_id:
            continue
        assert similar_orders(text)[:1] == [order_id], text
        assert f"Did you mean {order_id}" in explain(text), text


def test_an_order_with_other_digits_is_not_meant() -> None:
    recorded("ORD-1497", "ORD-21497", "ORD-14970")
    assert similar_orders("149") == []
    assert similar_orders("1497") == ["ORD-1497"]
    for text in ("", " ", "#", "-", "☃", "0", "x" * 5000, "1" * 5000, "\x00"):
        assert similar_orders(text) == []
        assert "never recorded" in explain(text)


def test_the_order_with_the_same_letters_comes_first() -> None:
    recorded("ORD-1497", "WEB-1497", "APP-1497", "POS-1497", "ORD-1")
    assert similar_orders("web1497")[0] == "WEB-1497"
    assert len(similar_orders("1497")) == 3


def test_a_view_is_not_an_order_and_hides_none() -> None:
    recorded(*("" for _ in range(300)), event=EventName.VIEW_CONTENT)
    recorded("ORD-1497")
    recorded_first = Conversion.objects.earliest("pk").event_name
    assert recorded_first == EventName.VIEW_CONTENT
    assert similar_orders("1497") == ["ORD-1497"]


def test_only_orders_of_the_business_are_meant() -> None:
    recorded("ORD-1497")
    assert similar_orders("1497", business="br") == []
    assert "Did you mean" not in explain("1497", business="br")


def test_it_costs_two_statements_that_read_little() -> None:
    recorded(*(f"ORD-{number}" for number in range(2000)))
    with CaptureQueriesContext(connection) as queries:
        assert similar_orders("#1497") == ["ORD-1497"]
    assert len(queries) == 2
    assert all(" LIMIT " in query["sql"] for query in queries)


def test_a_recorded_order_is_explained_without_a_question() -> None:
    recorded("ORD-1497", "1497")
    assert "Did you mean" not in explain("1497")


def test_the_admin_links_to_the_order(admin_client: Client) -> None:
    recorded("ORD/14 97&", "ORD/12 31&", "ord/14 97&")
    page = admin_client.get(
        "/admin/connectly_tracking/conversion/", {"q": "#ORD 14-97"}
    ).content.decode()
    assert "Did you mean " in page
    assert '<a href="?q=ORD%2F14%2097%26">ORD/14 97&amp;</a>' in page
