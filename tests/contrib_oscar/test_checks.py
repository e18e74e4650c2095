from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks

from connectly_tracking.conf import conf
from connectly_tracking.contrib.oscar.adapter import purchase
from example_project.settings import CELERY_BEAT_SCHEDULE
from tests.conftest import broker_at
from tests.test_checks import found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectly_tracking.events import Purchase

pytestmark = pytest.mark.django_db  # a check of JSON fields asks the database


@pytest.fixture(autouse=True)
def _celery() -> Iterator[None]:
    """As the README has it; nobody calls the broker."""
    with broker_at("redis://127.0.0.1:1/0", beat_schedule=CELERY_BEAT_SCHEDULE):
        yield


def test_the_shop_as_it_is_raises_nothing() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({"OSCAR_PURCHASE_STATUS": "Paid"}, []),
        ({"OSCAR_PURCHASE_STATUS": "paid"}, ["W001"]),
        ({"OSCAR_CANCEL_STATUSES": ["Cancelled", "Void"]}, ["W001"]),
        (
            {"OSCAR_CANCEL_STATUSES": ["Paid"], "OSCAR_PURCHASE_STATUS": "Paid"},
            ["E001"],
        ),
        ({"OSCAR_PURCHASE_STATUS": 7}, ["E040"]),
        ({"OSCAR_CANCEL_STATUSES": "Cancelled"}, ["E041"]),
    ],
)
def test_a_status_that_no_order_takes_is_said(
    configure: Any, changes: dict[str, object], ids: list[str]
) -> None:
    configure(**changes)
    assert found() == ids


def test_a_shop_that_cancels_in_another_way_is_not_bothered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("oscar.apps.order.models.Order.pipeline", {"Paid": ()})
    assert found() == []


def test_the_hint_names_the_setting_of_oscars(configure: Any) -> None:
    configure(OSCAR_PURCHASE_STATUS="paid")
    (message,) = run_checks(tags=["compatibility"])
    assert "'paid', which is not in OSCAR_ORDER_STATUS_PIPELINE" in message.msg


def own(order: Any) -> Purchase:
    return purchase(order)


def test_the_adapter_is_ours_unless_the_shop_names_one(configure: Any) -> None:
    assert conf.ORDER_ADAPTER is purchase
    configure(ORDER_ADAPTER=None)
    assert conf.ORDER_ADAPTER is purchase
    configure(ORDER_ADAPTER=own)
    assert conf.ORDER_ADAPTER is own
