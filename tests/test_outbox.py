"""If the order committed, the conversion exists: one row, frozen once pending."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from connectly_tracking import attribution, outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.events import Purchase
from connectly_tracking.exceptions import InvalidEvent
from connectly_tracking.models import Attribution, Conversion, Reason, State
from connectly_tracking.signals import order_completed
from example_project.shop.models import Order

from .conftest import LANDING, TAGGED, make_click, make_purchase, table_refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest
    from django.test import RequestFactory

    from connectly_tracking.api.landing import Landing

pytestmark = pytest.mark.django_db
DAY = 86400
#: MySQL says only when asked whether the row was there before.
INSERTED = ["INSERT", "SELECT"] if connection.vendor == "mysql" else ["INSERT"]


@pytest.fixture
def visit(rf: RequestFactory) -> HttpRequest:
    """A customer's request, with the click in its session."""
    request = rf.get(TAGGED)
    request.session = SessionStore()
    attribution.land(request)
    return request


def ours(queries: CaptureQueriesContext) -> list[str]:
    return [
        query["sql"].split()[0]
        for query in queries.captured_queries
        if "connectly_tracking_" in query["sql"] or "SAVEPOINT" in query["sql"]
    ]


def test_the_documented_order_is_recorded_as_the_documented_body() -> None:
    old = make_click(age=time.time() - 1746480000)
    row = outbox.record(make_purchase(event_time=1746480000), attribution=old)
    row.refresh_from_db()
    assert json.loads(row.body, parse_float=str) == {
        "cnct_tracking_id": "track-1",
        "event_name": "Purchase",
        "sendout_id": "send-1",
        "attribution": {"meta_ctwa": {"ctwa_clid": "clid-1", "ad_id": "120210"}},
        "payload": {
            "currency": "USD",
            "value": "99.97",
            "order_id": "ORD-7821",
            "content_type": "product",
            "content_ids": ["sku-1", "sku-2"],
            "num_items": 2,
            "contents": [
                {"id": "sku-1", "quantity": 1, "item_price": "49.99"},
                {"id": "sku-2", "quantity": 1, "item_price": "49.98"},
            ],
            "event_time": 1746480000,
        },
    }
    assert row.event_time is not None
    assert row.event_time.timestamp() == 1746480000


def test_a_click_in_the_session_makes_an_order_pending(visit: HttpRequest) -> None:
    row = outbox.record(make_purchase(), request=visit)
    assert (row.state, row.reason, row.attempts) == (State.PENDING, "", 0)
    assert row.attribution == Attribution.objects.get()
    assert (row.sendout_id, row.ad_id) == ("send-1", "120210")
    assert (row.value, row.currency) == (Decimal("99.97"), "USD")
    assert row.due_at is not None


def test_a_checkout_is_one_select_and_one_insert_of_ours_in_the_orders_transaction(
    visit: HttpRequest,
) -> None:
    with transaction.atomic():
        Order.objects.create(number="ORD-1", total=1, currency="USD")
        with CaptureQueriesContext(connection) as queries:
            outbox.record(make_purchase("ORD-1"), request=visit)
    assert ours(queries) == ["SAVEPOINT", "SELECT", *INSERTED, "RELEASE"]


def test_an_order_that_rolls_back_takes_its_row_along(click: Attribution) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        outbox.record(make_purchase(), attribution=click)
        raise ZeroDivisionError
    assert Conversion.objects.count() == 0


def test_an_order_that_rolls_back_to_a_savepoint_takes_its_row_along(
    click: Attribution,
) -> None:
    with transaction.atomic():
        outbox.record(make_purchase("kept"), attribution=click)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            outbox.record(make_purchase("gone"), attribution=click)
            raise ZeroDivisionError
    assert [row.order_id for row in Conversion.objects.all()] == ["kept"]


def test_the_same_order_three_times_is_one_row_with_the_same_bytes(
    click: Attribution,
) -> None:
    first = outbox.record(make_purchase(), attribution=click)
    body = Conversion.objects.get().body
    for value in (Decimal("1.00"), Decimal("99.97")):
        again = outbox.record(make_purchase(value=value), attribution=click)
        assert again.pk == first.pk
    assert Conversion.objects.get().body == body


def test_an_integer_and_its_text_are_the_same_order(click: Attribution) -> None:
    first = outbox.record(make_purchase(7821), attribution=click)
    assert outbox.record(make_purchase("7821"), attribution=click).pk == first.pk


@pytest.mark.parametrize(
    ("one", "other"),
    [("ORD-1", "ord-1"), ("caf\u00e9", "cafe\u0301"), ("ORD-1", "ORD-1\u00a01")],
)
def test_ids_that_only_look_alike_are_two_orders(
    click: Attribution, one: str, other: str
) -> None:
    for order_id in (one, other):
        outbox.record(make_purchase(order_id), attribution=click)
    assert Conversion.objects.count() == 2


def test_an_order_without_a_click_is_a_small_row_with_a_reason() -> None:
    row = outbox.record(make_purchase())
    row.refresh_from_db()
    assert (row.state, row.reason) == (State.SKIPPED, Reason.NOT_ATTRIBUTED)
    assert (row.value, row.currency, row.body, row.due_at) == (None, "", "", None)
    assert "WhatsApp" in str(row.explanation)


def test_orders_without_a_click_can_be_left_out(configure: Any) -> None:
    configure(RECORD_UNATTRIBUTED=False)
    row = outbox.record(make_purchase())
    assert row.pk is None
    assert row.reason == Reason.NOT_ATTRIBUTED
    assert Conversion.objects.count() == 0


@pytest.mark.parametrize(
    ("age", "landing", "reason"),
    [
        (29 * DAY, LANDING, Reason.OUTSIDE_WINDOW),
        (-10 * 60, LANDING, Reason.CLICK_AFTER_ORDER),
        (60, replace(LANDING, sendout_id=""), Reason.INCOMPLETE_CLICK),
        (60, replace(LANDING, attribution_source="x"), Reason.OTHER_SOURCE),
    ],
)
def test_a_click_that_cannot_be_credited_says_why(
    age: float, landing: Landing, reason: Reason
) -> None:
    click = make_click(landing, age=age)
    row = outbox.record(make_purchase(), attribution=click)
    row.refresh_from_db()
    assert (row.state, row.reason) == (State.SKIPPED, reason)
    assert (row.attribution, row.body) == (click, "")
    # What was not reported can be added up.
    assert (row.value, row.currency) == (Decimal("99.97"), "USD")
    assert row.clicked_at == click.captured_at
    assert row.explanation


@pytest.mark.parametrize(
    ("late", "state"), [(290, State.PENDING), (310, State.SKIPPED)], ids=str
)
@pytest.mark.parametrize("way", ["attribution", "user"])
def test_a_click_may_come_five_minutes_after_its_order(
    way: str, late: int, state: State
) -> None:
    user = User.objects.create(username="ada")
    click = make_click(age=0, user=user)
    order = make_purchase(event_time=int(time.time()) - late)
    source: dict[str, Any] = {way: click if way == "attribution" else user}
    row = outbox.record(order, **source)
    assert (row.state, row.attribution_id) == (state, click.pk)
    if way == "user" and state == State.PENDING:
        # One that came in time wins over one that came too late.
        too_late = make_click(age=-60, user=user)
        again = make_purchase("again", event_time=int(time.time()) - late)
        assert outbox.record(again, user=user).attribution_id == click.pk
        assert too_late.captured_at > click.captured_at


@pytest.mark.parametrize("age", [28 * DAY - 60, -4 * 60])
def test_the_window_and_the_grace_are_kept_to(age: float) -> None:
    row = outbox.record(make_purchase(), attribution=make_click(age=age))
    assert row.state == State.PENDING


@pytest.mark.parametrize("window", [None, timedelta(days=400)])
def test_the_window_is_the_shops_choice(configure: Any, window: object) -> None:
    configure(ATTRIBUTION_WINDOW=window)
    row = outbox.record(make_purchase(), attribution=make_click(age=300 * DAY))
    assert row.state == State.PENDING


@pytest.mark.parametrize("window", [None, timedelta(days=7), timedelta(days=400)])
@pytest.mark.parametrize("comes", ["with the order", "late", "again"])
def test_an_order_keeps_the_window_by_which_its_click_was_judged(
    configure: Any, visit: HttpRequest, window: timedelta | None, comes: str
) -> None:
    configure(ATTRIBUTION_WINDOW=timedelta(days=99))
    if comes != "with the order":
        outbox.record(make_purchase())
    configure(ATTRIBUTION_WINDOW=window)
    if comes == "late":
        attribution.bind_order(visit, "ORD-7821")
    else:
        outbox.record(make_purchase(), attribution=make_click(age=30 * DAY))
    configure(ATTRIBUTION_WINDOW=timedelta(days=98))
    row = Conversion.objects.get()
    assert row.attribution_window == window
    assert (row.reason == Reason.OUTSIDE_WINDOW) == (
        comes != "late" and window == timedelta(days=7)
    )


def test_a_backfilled_order_does_not_credit_a_click_that_came_after(
    visit: HttpRequest,
) -> None:
    yesterday = int(time.time()) - DAY
    row = outbox.record(make_purchase(event_time=yesterday), request=visit)
    assert row.reason == Reason.CLICK_AFTER_ORDER


def test_the_users_newest_click_is_found_without_a_session() -> None:
    user = User.objects.create(username="ada")
    make_click(age=3 * DAY, user=user)
    newest = make_click(age=2 * DAY, user=user)
    make_click(age=DAY, user=User.objects.create(username="bob"))
    with CaptureQueriesContext(connection) as queries:
        row = outbox.record(make_purchase(), user=user)
    assert row.attribution == newest
    assert ours(queries) == ["SAVEPOINT", "SELECT", "SELECT", *INSERTED, "RELEASE"]


def test_the_users_click_before_the_order_wins_over_one_after_it() -> None:
    user = User.objects.create(username="ada")
    before = make_click(age=3 * DAY, user=user)
    make_click(age=DAY, user=user)
    order = make_purchase(event_time=int(time.time()) - 2 * DAY)
    assert outbox.record(order, user=user).attribution == before


@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_user_without_a_primary_key_gets_no_strangers_click(
    is_deleted: bool, click: Attribution
) -> None:
    user = User(username="guest")
    if is_deleted:
        user.save()
        user.delete()
    assert outbox.record(make_purchase(), user=user).reason == Reason.NOT_ATTRIBUTED


def test_the_logged_in_customer_of_the_request_is_the_user(
    rf: RequestFactory,
) -> None:
    request = rf.get("/")
    request.session = SessionStore()
    request.user = User.objects.create(username="ada")
    click = make_click(user=request.user)
    assert outbox.record(make_purchase(), request=request).attribution == click


def test_a_stranger_without_a_click_is_not_attributed(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = AnonymousUser()
    row = outbox.record(make_purchase(), request=request)
    assert row.reason == Reason.NOT_ATTRIBUTED


def test_an_incomplete_click_in_the_session_yields_to_the_users_own(
    rf: RequestFactory,
) -> None:
    user = User.objects.create(username="ada")
    own = make_click(user=user, age=DAY)
    request = rf.get("/?cnct_tracking_id=only")
    request.session = SessionStore()
    attribution.land(request)
    row = outbox.record(make_purchase(), request=request, user=user)
    assert (row.state, row.attribution) == (State.PENDING, own)


def test_an_explicit_click_may_be_named_by_its_id(click: Attribution) -> None:
    row = outbox.record(make_purchase(), attribution=str(click.pk))
    assert row.attribution == click


def test_an_explicit_click_that_is_not_stored_is_written_with_the_order() -> None:
    click = Attribution.from_landing(LANDING)
    row = outbox.record(make_purchase(), attribution=click)
    assert row.state == State.PENDING
    assert Attribution.objects.get() == row.attribution == click


@pytest.mark.parametrize("unknown", [uuid.uuid4(), "no-uuid", 7])
def test_an_explicit_click_that_is_none_is_refused(unknown: Any) -> None:
    row = outbox.record(make_purchase(), attribution=unknown)
    assert (row.reason, row.detail) == (
        Reason.INVALID,
        "attribution: must be an Attribution or the id of one",
    )


def test_a_user_that_is_none_is_refused() -> None:
    row = outbox.record(make_purchase(), user=7)
    assert row.detail == "user: must be a user object"


def test_a_prefetched_click_gets_its_row_with_the_order(rf: RequestFactory) -> None:
    request = rf.get(TAGGED, headers={"Sec-Purpose": "prefetch"})
    request.session = SessionStore()
    attribution.land(request)
    row = outbox.record(make_purchase(), request=request)
    assert row.state == State.PENDING
    assert Attribution.objects.get() == row.attribution


def test_a_click_pruned_before_the_order_is_credited_from_the_session(
    visit: HttpRequest,
) -> None:
    Attribution.objects.all().delete()
    row = outbox.record(make_purchase(), request=visit)
    assert row.state == State.PENDING
    assert json.loads(row.body)["cnct_tracking_id"] == "track-1"


def test_a_later_signal_that_brings_the_click_makes_the_order_pending(
    click: Attribution,
) -> None:
    outbox.record(make_purchase())
    row = outbox.record(make_purchase(), attribution=click)
    assert row.state == State.PENDING
    assert Conversion.objects.get().body
    assert Conversion.objects.get().value == Decimal("99.97")


def test_a_click_that_only_the_session_had_is_kept_where_it_mends_an_order(
    rf: RequestFactory,
) -> None:
    request = rf.get(TAGGED, headers={"Sec-Purpose": "prefetch"})
    request.session = SessionStore()
    attribution.land(request)
    outbox.record(make_purchase())
    row = outbox.record(make_purchase(), request=request)
    assert row.state == State.PENDING
    assert Attribution.objects.get() == Conversion.objects.get().attribution


def test_a_later_signal_without_a_click_changes_nothing(click: Attribution) -> None:
    outbox.record(make_purchase(), attribution=click)
    assert outbox.record(make_purchase()).state == State.PENDING


def test_a_refused_order_that_comes_again_in_order_is_mended(
    click: Attribution,
) -> None:
    refused = outbox.record(make_purchase(currency="EURO"), attribution=click)
    assert refused.reason == Reason.INVALID
    assert outbox.record(make_purchase(), attribution=click).state == State.PENDING
    assert Conversion.objects.get().detail == ""


@pytest.mark.parametrize(
    "state", [State.DELIVERED, State.REJECTED, State.EXPIRED, State.SENDING]
)
def test_nothing_changes_an_order_once_it_was_pending(
    click: Attribution, state: State
) -> None:
    outbox.record(make_purchase(), attribution=click)
    due = {} if state == State.SENDING else {"due_at": None}
    Conversion.objects.update(state=state, **due)
    outbox.record(make_purchase(value=1), attribution=click)
    row = Conversion.objects.get()
    assert (row.state, row.value) == (state, Decimal("99.97"))


def test_with_sending_off_orders_are_recorded_whole_and_skipped(
    configure: Any, click: Attribution
) -> None:
    configure(SEND=False)
    row = outbox.record(make_purchase(), attribution=click)
    assert (row.state, row.reason) == (State.SKIPPED, Reason.SENDING_OFF)
    assert row.body
    configure(SEND=True)
    assert outbox.record(make_purchase(), attribution=click).state == State.SKIPPED


def test_bad_input_is_a_skipped_row_with_the_field_and_the_remedy() -> None:
    row = outbox.record(make_purchase(value="12,30"))
    row.refresh_from_db()
    assert (row.state, row.reason) == (State.SKIPPED, Reason.INVALID)
    assert row.detail == "value: must be a number, such as 99.97, not '12,30'"
    assert row.order_id == "ORD-7821"


def test_strict_raises_instead(configure: Any) -> None:
    configure(STRICT=True)
    with pytest.raises(InvalidEvent, match="currency"):
        outbox.record(make_purchase(currency="EURO"))
    assert Conversion.objects.count() == 0


@pytest.mark.parametrize(
    ("order_id", "shown"),
    [
        (None, ""),
        ("", ""),
        ("   ", ""),
        (True, ""),
        (1.5, ""),
        ("x" * 129, "x" * 128),
        ("a\x00b", "a\ufffdb"),
        ("a\r\nb", "a\ufffd\ufffdb"),
        (" padded ", "padded"),
    ],
)
def test_an_order_id_that_cannot_be_is_refused_and_shown(
    order_id: object, shown: str
) -> None:
    row = outbox.record(make_purchase(order_id))
    row.refresh_from_db()
    assert (row.reason, row.order_id) == (Reason.INVALID, shown)


def test_what_is_no_purchase_is_refused() -> None:
    row = outbox.record({"order_id": "ORD-1"})  # type: ignore[arg-type]
    assert row.detail == "purchase: must be a Purchase, not dict"


def test_an_order_over_32_kib_is_recorded_without_its_contents(
    click: Attribution,
) -> None:
    items = [{"id": f"sku-{number}", "item_price": 1} for number in range(1000)]
    row = outbox.record(make_purchase(contents=items), attribution=click)
    assert row.state == State.PENDING
    sent = json.loads(row.body)["payload"]
    assert "contents" not in sent
    assert (sent["num_items"], len(sent["content_ids"])) == (1000, 1000)


@pytest.fixture
def _by_hand(transactional_db: None) -> Iterator[None]:
    """The shop begins and ends its transactions itself."""
    transaction.set_autocommit(False)
    try:
        yield
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_by_hand")
def test_without_autocommit_an_order_is_recorded_and_committed_by_the_shop(
    visit: HttpRequest, caplog: pytest.LogCaptureFixture
) -> None:
    for end in (transaction.rollback, transaction.commit):
        Order.objects.create(number="1", total=1, currency="USD")
        order_completed.send(None, purchase=make_purchase("1"), request=visit)
        order_completed.send(None, purchase=make_purchase("2"))
        assert Conversion.objects.count() == 2
        end()
        assert Conversion.objects.exists() == (end == transaction.commit)
    attribution.bind_order(visit, "2")
    transaction.commit()
    assert Conversion.objects.filter(state=State.PENDING).count() == 2
    Conversion.objects.update(state=State.EXPIRED, due_at=None)
    assert outbox.replay(Conversion.objects.all()) == 2
    outbox.pause("default")
    assert outbox.resume("default", by="ana")
    transaction.commit()
    assert not [it for it in caplog.records if it.levelname == "ERROR"]
    # Django wakes the workers when the shop returns to autocommit; a poll may be first.
    assert len(connection.run_on_commit) == 4
    transaction.set_autocommit(True)
    assert not connection.run_on_commit


def test_a_database_error_leaves_the_orders_transaction_whole(
    click: Attribution,
) -> None:
    with transaction.atomic():
        Order.objects.create(number="ORD-1", total=1, currency="USD")
        with (
            table_refused("connectly_tracking_conversion"),
            pytest.raises(DatabaseError, match="no_such_table"),
        ):
            outbox.record(make_purchase("ORD-1"), attribution=click)
        assert Order.objects.filter(number="ORD-1").exists()


def test_the_business_is_the_named_one_else_the_clicks_else_the_resolvers(
    configure: Any, settings: Any
) -> None:
    other = {
        key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")
    }
    configure(BUSINESSES={"br": other, "mx": other}, BUSINESS_RESOLVER=lambda *_: "mx")
    click = make_click(business="br")
    assert outbox.record(make_purchase("1"), attribution=click).business == "br"
    assert outbox.record(make_purchase("2")).business == "mx"
    named = outbox.record(make_purchase("3"), attribution=click, business="default")
    assert named.business == "default"


def test_a_business_that_is_not_in_the_settings_is_refused(click: Attribution) -> None:
    row = outbox.record(make_purchase(), attribution=click, business="nowhere")
    assert row.detail == "business: must be one of those in the settings: default"
    assert row.business == "default"


def test_without_a_business_to_go_to_an_order_is_refused_and_not_left_waiting(
    configure: Any, settings: Any, click: Attribution
) -> None:
    own = settings.CONNECTLY_TRACKING
    named = {key: own[key] for key in ("BUSINESS_ID", "API_KEY")}
    settings.CONNECTLY_TRACKING = {"BUSINESSES": {"br": named}}
    row = outbox.record(make_purchase("1"), attribution=click)
    assert row.detail == "business: must be one of those in the settings: br"
    configure(BUSINESS_RESOLVER=lambda *_: "rb")
    assert outbox.record(make_purchase("2")).reason == Reason.INVALID


def test_without_its_credentials_the_default_business_records_and_sends_nothing(
    configure: Any, settings: Any, click: Attribution
) -> None:
    own = settings.CONNECTLY_TRACKING
    named = {key: own[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESS_ID=None, API_KEY=None, BUSINESSES={"br": named})
    row = outbox.record(make_purchase("1"), attribution=click)
    assert (row.business, row.state) == ("default", State.PENDING)
    assert outbox.record(make_purchase("2")).reason == Reason.NOT_ATTRIBUTED
    assert not deliver()
    assert Conversion.objects.filter(state=State.PENDING).count() == 1


def test_the_shops_own_integrity_error_comes_back_as_it_is(configure: Any) -> None:
    Order.objects.create(number="taken", total=1, currency="USD")

    def adapter(order: object) -> Purchase:
        Order.objects.create(number="taken", total=1, currency="USD")
        return make_purchase()

    configure(ORDER_ADAPTER=adapter)
    paid = outbox.PaidOrder(order=object())
    with pytest.raises(IntegrityError):
        outbox.record_order(paid, attribution.ClickSource())
    assert Order.objects.count() == 1


def test_where_unattributed_orders_are_left_out_an_earlier_row_is_still_found(
    configure: Any, click: Attribution
) -> None:
    configure(RECORD_UNATTRIBUTED=False)
    first = outbox.record(make_purchase(), attribution=click)
    assert outbox.record(make_purchase()) == first


def test_a_generator_of_items_serves_the_second_call_too(click: Attribution) -> None:
    items = ({"id": f"sku-{number}", "item_price": 2} for number in range(3))
    order = make_purchase(contents=items)
    outbox.record(order)
    row = outbox.record(order, attribution=click)
    assert len(json.loads(row.body)["payload"]["contents"]) == 3


def test_model_instances_as_items_are_refused_with_words() -> None:
    shop_order = Order.objects.create(number="ORD-1", total=1, currency="USD")
    row = outbox.record(
        Purchase(
            order_id="ORD-1",
            value=1,
            currency="USD",
            event_time=int(time.time()),
            contents=[shop_order],  # type: ignore[list-item]
        )
    )
    assert "is a model instance (Order) and its id is its primary key" in row.detail
