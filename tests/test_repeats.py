"""An order number that comes again, with the same content or with another."""

from __future__ import annotations

import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from connectly_tracking import outbox
from connectly_tracking.attribution.binding import write_token
from connectly_tracking.backfill import backfill
from connectly_tracking.models import Attribution, Conversion, Reason, State
from connectly_tracking.outbox.record import _with_notes
from connectly_tracking.reports import explain
from connectly_tracking.signals import order_completed
from example_project.shop.models import Order

from .conftest import LANDING, make_click, make_purchase

pytestmark = pytest.mark.django_db

AGAIN = "The shop sent this order id again with 25.00 EUR; the first value is kept."


def record(attribution: Any = None, **fields: Any) -> Conversion:
    """By the signal, as a shop does it. Returns the order's only row."""
    order_completed.send(
        sender=Order, purchase=make_purchase("2001", **fields), attribution=attribution
    )
    return Conversion.objects.get(order_id="2001")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [it for it in caplog.messages if it.startswith("order_id_repeated")]


def test_another_value_is_logged_and_shown(
    click: Attribution, caplog: pytest.LogCaptureFixture
) -> None:
    first = record(click)
    row = record(click, value=25, currency="EUR")
    assert (row.value, row.currency, row.body) == (first.value, "USD", first.body)
    assert row.detail == AGAIN
    assert AGAIN.rstrip(".") in explain("2001")
    (line,) = lines(caplog)
    assert "order_id=2001" in line
    assert "value='99.97 USD' other_value='25.00 EUR'" in line
    assert not [value for value in LANDING.values[:4] if value in line]
    assert caplog.records[-1].levelname == "WARNING"


@pytest.mark.parametrize("state", [*State])
def test_whatever_has_become_of_the_first(
    click: Attribution, caplog: pytest.LogCaptureFixture, state: State
) -> None:
    record(click)
    if state == State.SKIPPED:
        outbox.cancel("2001")
    elif state != State.PENDING:
        due = {} if state == State.SENDING else {"due_at": None}
        Conversion.objects.update(state=state, **due)
    row = record(None, value=25, currency="EUR")
    assert (row.state, row.detail) == (state, AGAIN)
    assert AGAIN.rstrip(".") in explain("2001")
    assert len(lines(caplog)) == 1


def test_a_cancelled_number_that_the_next_customer_gets(
    click: Attribution, caplog: pytest.LogCaptureFixture
) -> None:
    record(click)
    outbox.cancel("2001")
    others = make_click(replace(LANDING, sendout_id="send-9"))
    row = record(others)
    assert row.attribution_id == click.pk
    assert row.detail == (
        "The shop sent this order id again with another click (campaign send-9), "
        "which is not credited."
    )
    (line,) = lines(caplog)
    assert f"click={click.pk} other_click={others.pk}" in line
    both = record(others, value=25, currency="EUR")
    assert both.detail == f"{row.detail} {AGAIN}"
    assert len(lines(caplog)) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Decimal(10), Decimal("10.00")),
        (Decimal("10.00"), Decimal("10.0")),
        (10, "10.00"),
        (10.1, Decimal("10.10")),
        (Decimal("1E+2"), 100),
        (Decimal("123456789012345678.123456"), Decimal("123456789012345678.123456")),
        (0.1 + 0.2, Decimal("0.30")),
        (0, Decimal("0.00")),
    ],
)
@pytest.mark.parametrize("has_click", [True, False])
def test_the_same_content_says_nothing(
    click: Attribution,
    caplog: pytest.LogCaptureFixture,
    one: Any,
    other: Any,
    has_click: bool,
) -> None:
    record(click if has_click else None, value=one)
    for _ in range(2):
        assert record(click if has_click else None, value=other).detail == ""
    assert record(None, value=other, currency="usd").detail == ""
    assert not caplog.messages


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"value": 10}, {"value": Decimal("10.01")}),
        ({"value": 10}, {"value": 10, "currency": "ARS"}),
        ({"value": 10}, {"value": 0}),
        ({"value": Decimal("0.000001")}, {"value": 0}),
        ({"value": 10}, {"value": 1000}),
    ],
)
@pytest.mark.parametrize("has_first", [True, False])
@pytest.mark.parametrize("has_second", [True, False])
def test_a_difference_is_said_with_and_without_a_click(
    click: Attribution,
    caplog: pytest.LogCaptureFixture,
    one: Any,
    other: Any,
    has_first: bool,
    has_second: bool,
) -> None:
    record(click if has_first else None, **one)
    row = record(click if has_second else None, **other)
    assert "sent this order id" in row.detail
    assert len(lines(caplog)) == 1
    if has_second and not has_first:
        assert "first sent this order id with 10.00 USD" in row.detail or one != {
            "value": 10
        }
        assert row.state == State.PENDING


def test_a_repeated_difference_is_noted_once_and_logged_each_time(
    click: Attribution, caplog: pytest.LogCaptureFixture
) -> None:
    record(click)
    for _ in range(5):
        record(None, value=25, currency="EUR")
    assert Conversion.objects.get().detail == AGAIN
    assert len(lines(caplog)) == 5
    for value in range(100):
        record(None, value=value)
    assert len(Conversion.objects.get().detail) <= 2000


def test_what_has_no_room_is_counted_to_the_end() -> None:
    detail = _with_notes("x" * 1970, ["a note of some length", "y"])
    assert detail.endswith("x y And 1 more.")
    assert _with_notes(detail, ["another long note"]).endswith("2 more.")


def test_an_adapter_that_returns_one_id_loses_no_order_in_silence(
    click: Attribution, caplog: pytest.LogCaptureFixture
) -> None:
    record(click)
    for value in range(100, 200):
        row = record(None, value=value)
    assert len(lines(caplog)) == 100
    noted = row.detail.count("The shop sent this order id again")
    assert row.detail.endswith(f"is kept. And {100 - noted} more.")
    assert 20 < noted < 30
    assert len(row.detail) <= 2000


def test_customers_of_one_campaign_are_told_apart_in_the_log(
    click: Attribution, caplog: pytest.LogCaptureFixture
) -> None:
    """Their orders differ in nothing else, so that the row has one note."""
    record(click)
    others = [make_click(replace(LANDING, ctwa_clid=f"clid-{n}")) for n in range(3)]
    for other in others:
        row = record(other)
    assert row.detail == (
        "The shop sent this order id again with another click (campaign send-1), "
        "which is not credited."
    )
    assert [line.rpartition("=")[2] for line in lines(caplog)] == [
        str(other.pk) for other in others
    ]


def test_the_token_of_another_visitor(
    click: Attribution, caplog: pytest.LogCaptureFixture
) -> None:
    other = make_click(replace(LANDING, ctwa_clid="clid-9"))
    outbox.record(make_purchase("2001"), token=write_token(click.pk))
    outbox.record(make_purchase("2001"), token=write_token(click.pk))
    assert not caplog.messages
    outbox.record(make_purchase("2001"), token=write_token(other.pk))
    assert "another click (campaign send-1)" in Conversion.objects.get().detail
    assert len(lines(caplog)) == 1


def test_a_customer_who_comes_back_is_not_another(
    click: Attribution, caplog: pytest.LogCaptureFixture
) -> None:
    """A thank-you page opened again, after another landing, sends the order again."""
    record(click)
    late = make_click(age=-600)
    assert record(late).detail == ""
    assert not lines(caplog)


def test_where_orders_without_a_click_are_left_out(
    click: Attribution, configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(RECORD_UNATTRIBUTED=False)
    record(click)
    assert record(None).detail == ""
    assert record(None, value=25, currency="EUR").detail == AGAIN
    assert len(lines(caplog)) == 1


def test_an_invalid_repetition_changes_nothing(
    click: Attribution, caplog: pytest.LogCaptureFixture
) -> None:
    record(click)
    assert record(click, currency="EURO").detail == ""
    assert not lines(caplog)


def test_a_file_that_has_a_number_twice(caplog: pytest.LogCaptureFixture) -> None:
    twice = [make_purchase("2001", value=10), make_purchase("2001", value=20)]
    backfill(twice)
    assert "again with 20.00 USD" in Conversion.objects.get().detail
    assert len(lines(caplog)) == 1


def test_a_note_costs_one_statement_and_sameness_none(click: Attribution) -> None:
    record(click)

    def updates(**fields: Any) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            outbox.record(make_purchase("2001", **fields), attribution=click)
        statements = [query["sql"] for query in queries]
        return [it for it in statements if it.startswith("UPDATE") and "detail" in it]

    assert not updates()
    assert len(updates(value=1)) == 1


@pytest.fixture
def _two_businesses(configure: Any, settings: Any) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own})


def other_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [it for it in caplog.messages if it.startswith("order_id_in_two_busin")]


@pytest.mark.usefixtures("_two_businesses")
@pytest.mark.parametrize("first", ["default", "br"])
def test_one_order_with_clicks_of_two_businesses_is_one_row(
    caplog: pytest.LogCaptureFixture, first: str
) -> None:
    """Bought on a laptop; the webhook finds the customer's newest, on a phone."""
    user = User.objects.create(username="ana")
    click = make_click(business=first)
    make_click(business={"default": "br", "br": "default"}[first], user=user)
    bought = make_purchase("2001")
    for clues in ({"token": write_token(click.pk)}, {"user": user}, {"user": user}):
        order_completed.send(sender=Order, purchase=bought, **clues)
    row = Conversion.objects.get()
    assert (row.business, row.attribution_id) == (first, click.pk)
    assert "another click (campaign send-1)" in row.detail
    assert len(lines(caplog)) == 2
    assert not other_lines(caplog)


@pytest.mark.usefixtures("_two_businesses")
@pytest.mark.parametrize("reason", [Reason.CANCELLED, Reason.CONSENT_REFUSED])
def test_what_must_not_be_sent_is_not_revived_in_another_business(
    reason: Reason,
) -> None:
    user = User.objects.create(username="ana")
    bought = make_purchase("2001")
    outbox.record(bought)
    if reason == Reason.CANCELLED:
        outbox.cancel("2001")
    else:
        Conversion.objects.update(reason=reason, payload="")
    make_click(business="br", user=user)
    outbox.record(bought, user=user)
    row = Conversion.objects.get()
    assert (row.business, row.state) == ("default", State.SKIPPED)


@pytest.mark.usefixtures("_two_businesses")
@pytest.mark.parametrize(
    "fields", [{"value": 1}, {"currency": "EUR"}, {"event_time": 1}], ids=str
)
def test_two_orders_of_one_number_in_two_businesses_are_logged_once(
    caplog: pytest.LogCaptureFixture, fields: dict[str, Any]
) -> None:
    clicks = [make_click(business=name) for name in ("default", "br")]
    if "event_time" in fields:
        fields = {"event_time": int(time.time()) - 5}
    outbox.record(make_purchase("2001"), token=write_token(clicks[0].pk))
    for _ in range(2):
        other = make_purchase("2001", **fields)
        outbox.record(other, token=write_token(clicks[1].pk))
    rows = Conversion.objects.order_by("pk")
    assert [row.business for row in rows] == ["default", "br"]
    (line,) = other_lines(caplog)
    assert line == (
        "order_id_in_two_businesses order_id=2001 business=br "
        f"other_business=default other_row={rows[0].pk}"
    )
    assert not lines(caplog)


@pytest.mark.usefixtures("_two_businesses")
def test_an_order_of_two_businesses_that_comes_again_finds_its_own_row(
    caplog: pytest.LogCaptureFixture,
) -> None:
    click = make_click(business="br")
    outbox.record(make_purchase("2001"), business="default")
    outbox.record(make_purchase("2001"), attribution=click, business="br")
    again = outbox.record(make_purchase("2001"), attribution=click)
    states = dict(Conversion.objects.values_list("business", "state"))
    assert states == {"default": State.SKIPPED, "br": State.PENDING}
    assert again.business == "br"


def test_an_order_that_comes_again_does_not_restore_its_erased_click(
    click: Attribution,
) -> None:
    """As of a file that is backfilled again: the same values make the same click."""
    record(click)
    Attribution.objects.all()._raw_delete("default")
    again = Attribution.from_landing(
        LANDING, id=click.pk, captured_at=click.captured_at
    )
    record(again)
    assert not Attribution.objects.exists()
    assert Conversion.objects.get().state == State.PENDING
