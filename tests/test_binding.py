"""An order that is bound to a click is completed without a request."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from connectly_tracking import attribution, outbox
from connectly_tracking.attribution import bind_order
from connectly_tracking.delivery import deliver
from connectly_tracking.exceptions import InvalidEvent
from connectly_tracking.models import (
    Attribution,
    Conversion,
    OrderAttribution,
    Reason,
    State,
    moment,
)
from connectly_tracking.signals import order_completed

from .conftest import LANDING, TAGGED, make_click, make_purchase, table_refused

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.test import RequestFactory

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
DAY = 86400


@pytest.fixture
def visit(rf: RequestFactory) -> HttpRequest:
    return visit_of(rf)


def visit_of(rf: RequestFactory, query: str = TAGGED) -> HttpRequest:
    request = rf.get(query)
    request.session = SessionStore()
    request.user = AnonymousUser()
    attribution.land(request)
    return request


def test_the_view_binds_and_the_webhook_completes(
    visit: HttpRequest, sandbox: Sandbox
) -> None:
    with transaction.atomic():
        binding = bind_order(visit, "ORD-7821")
    assert binding is not None
    order_completed.send(None, purchase=make_purchase())
    row = Conversion.objects.get()
    assert row.state == State.PENDING
    assert row.attribution == Attribution.objects.get()
    assert deliver() == {State.DELIVERED: 1}


def test_the_webhook_may_come_first(visit: HttpRequest, sandbox: Sandbox) -> None:
    order_completed.send(None, purchase=make_purchase())
    row = Conversion.objects.get()
    assert (row.state, row.reason) == (State.SKIPPED, Reason.NOT_ATTRIBUTED)
    assert (row.body, row.value, row.currency) == ("", None, "")
    bind_order(visit, "ORD-7821")
    row.refresh_from_db()
    assert (row.state, row.reason, row.payload) == (State.PENDING, "", "")
    assert (str(row.value.normalize()), row.currency) == ("99.97", "USD")  # type: ignore[union-attr]
    assert deliver() == {State.DELIVERED: 1}
    reference = outbox.record(make_purchase("other"), request=visit)
    sent = sandbox.events[0].body.decode()
    assert sent == reference.body.replace("other", "ORD-7821").replace(
        f'"event_time": {int(reference.event_time.timestamp())}',  # type: ignore[union-attr]
        f'"event_time": {int(row.event_time.timestamp())}',  # type: ignore[union-attr]
    )


@pytest.mark.parametrize("order_id", [7821, "7821"])
def test_an_id_is_the_same_as_a_number_and_as_text(
    visit: HttpRequest, order_id: Any
) -> None:
    bind_order(visit, order_id)
    assert outbox.record(make_purchase("7821")).state == State.PENDING


def test_ids_that_differ_in_case_are_two_orders(visit: HttpRequest) -> None:
    bind_order(visit, "ord-1")
    assert outbox.record(make_purchase("ORD-1")).reason == Reason.NOT_ATTRIBUTED


def test_what_was_bound_wins_over_the_session_that_completes(
    rf: RequestFactory, visit: HttpRequest
) -> None:
    staff = visit_of(rf, TAGGED.replace("track-1", "track-2"))
    bind_order(visit, "ORD-7821")
    row = outbox.record(make_purchase(), request=staff)
    assert "track-1" in row.body


def test_a_bound_click_that_is_too_old_gives_way_to_the_session(
    rf: RequestFactory, visit: HttpRequest
) -> None:
    bind_order(visit, "ORD-7821")
    Attribution.objects.update(captured_at=make_click(age=40 * DAY).captured_at)
    row = outbox.record(
        make_purchase(), request=visit_of(rf, TAGGED.replace("track-1", "track-2"))
    )
    assert "track-2" in row.body


def test_the_last_binding_of_an_order_counts(
    rf: RequestFactory, visit: HttpRequest
) -> None:
    bind_order(visit, "ORD-7821")
    bind_order(visit_of(rf, TAGGED.replace("track-1", "track-2")), "ORD-7821")
    assert OrderAttribution.objects.count() == 1
    assert "track-2" in outbox.record(make_purchase()).body


def test_a_logged_in_customer_without_a_session_click_is_bound_to_the_users(
    rf: RequestFactory,
) -> None:
    request = rf.get("/")
    request.session = SessionStore()
    request.user = User.objects.create(username="ada")
    click = make_click(user=request.user)
    bind_order(request, "ORD-7821")
    assert outbox.record(make_purchase()).attribution == click


def test_a_visitor_without_a_click_is_bound_to_nothing(rf: RequestFactory) -> None:
    request = visit_of(rf, "/")
    assert bind_order(request, "ORD-7821") is None
    assert not OrderAttribution.objects.exists()


def test_a_prefetched_click_is_stored_when_it_is_bound(rf: RequestFactory) -> None:
    request = rf.get(TAGGED, headers={"Sec-Purpose": "prefetch"})
    request.session = SessionStore()
    attribution.land(request)
    assert not Attribution.objects.exists()
    bind_order(request, "ORD-7821")
    assert outbox.record(make_purchase()).attribution == Attribution.objects.get()


def test_a_binding_is_one_insert_in_the_orders_transaction(visit: HttpRequest) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        with CaptureQueriesContext(connection) as queries:
            bind_order(visit, "ORD-7821")
        raise ZeroDivisionError
    assert not OrderAttribution.objects.exists()
    words = [query["sql"].split()[0] for query in queries.captured_queries]
    assert words.count("INSERT") == 1


@pytest.mark.parametrize("order_id", [None, "", True, "x" * 129, object()])
def test_an_id_that_is_none_is_said_and_harms_nobody(
    visit: HttpRequest,
    configure: Any,
    caplog: pytest.LogCaptureFixture,
    order_id: Any,
) -> None:
    assert bind_order(visit, order_id) is None
    assert "order_not_bound" in caplog.text
    configure(STRICT=True)
    with pytest.raises(InvalidEvent):
        bind_order(visit, order_id)


def test_a_database_that_refuses_harms_no_checkout(
    visit: HttpRequest, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction.atomic():
        User.objects.create(username="ada")
        with table_refused("orderattribution"):
            assert bind_order(visit, "ORD-7821") is None
    assert User.objects.exists()
    assert "order_not_bound order_id=ORD-7821" in caplog.text


def test_a_click_of_one_business_never_credits_another(
    configure: Any, settings: Any
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own, "mx": own})
    click = make_click(business="mx")
    row = outbox.record(make_purchase(), attribution=click, business="br")
    assert (row.business, row.reason) == ("br", Reason.NOT_ATTRIBUTED)
    assert outbox.record(make_purchase("2"), attribution=click).business == "mx"


def test_of_a_users_clicks_the_named_businesss_own_is_found(
    configure: Any, settings: Any
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own, "mx": own})
    user = User.objects.create(username="ada")
    clicks = [make_click(business=name, user=user) for name in ("br", "mx")]
    for click in clicks:
        row = outbox.record(make_purchase(), user=user, business=click.business)
        assert (row.attribution, row.state) == (click, State.PENDING)


def test_an_order_that_is_cancelled_meanwhile_is_not_revived(
    visit: HttpRequest,
) -> None:
    outbox.record(make_purchase())
    outbox.cancel("ORD-7821")
    bind_order(visit, "ORD-7821")
    assert Conversion.objects.get().state == State.SKIPPED


def test_a_click_after_the_order_is_not_credited_by_a_binding(
    visit: HttpRequest,
) -> None:
    outbox.record(make_purchase(event_time=int(time.time()) - DAY))
    bind_order(visit, "ORD-7821")
    row = Conversion.objects.get()
    assert (row.state, row.reason) == (State.SKIPPED, Reason.CLICK_AFTER_ORDER)


@pytest.mark.parametrize("first", ["webhook", "view"])
def test_one_order_is_one_row_behind_any_host(
    configure: Any, settings: Any, sandbox: Sandbox, first: str
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own})
    click = make_click(business="br")
    clues = {"webhook": {}, "view": {"attribution": click}}
    for name in sorted(clues, key=lambda name: name != first):
        order_completed.send(None, purchase=make_purchase(), **clues[name])
    row = Conversion.objects.get()
    assert (row.business, row.state) == ("br", State.PENDING)
    assert deliver() == {State.DELIVERED: 1}


def test_two_businesses_may_have_orders_of_one_number(
    configure: Any, settings: Any
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own, "mx": own})
    for business in ("br", "mx"):
        outbox.record(make_purchase(), attribution=make_click(business=business))
        outbox.record(make_purchase("2"), business=business)
    assert Conversion.objects.count() == 4


def test_of_two_orders_of_one_number_the_clicks_business_has_its_own_mended(
    rf: RequestFactory, configure: Any, settings: Any
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own}, BUSINESS_RESOLVER=lambda *_: "br")
    for business in ("default", "br"):
        outbox.record(make_purchase(), business=business)
    assert bind_order(visit_of(rf), "ORD-7821") is not None
    states = dict(Conversion.objects.values_list("business", "state"))
    assert states == {"default": State.SKIPPED, "br": State.PENDING}


@pytest.mark.parametrize("is_named", [False, True])
def test_a_binding_cannot_move_an_order_of_another_business_and_says_so(
    rf: RequestFactory,
    configure: Any,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    is_named: bool,
) -> None:
    """The row does not tell whether the shop named its business."""
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    resolver = {"BUSINESS_RESOLVER": lambda request, _order: "br" if request else "mx"}
    configure(BUSINESSES={"br": own, "mx": own}, **resolver)
    clues = {"business": "mx"} if is_named else {}
    order_completed.send(None, purchase=make_purchase(), **clues)
    visit = visit_of(rf)
    assert bind_order(visit, "ORD-7821") is not None
    row = Conversion.objects.get()
    assert (row.business, row.reason) == ("mx", Reason.NOT_ATTRIBUTED)
    assert caplog.messages == [
        f"late_click_not_attached order_id=ORD-7821 row={row.pk} business=mx "
        f"click={Attribution.objects.get().pk} click_business=br"
    ]
    # As the documentation says.
    order_completed.send(None, purchase=make_purchase(), **clues)
    row = Conversion.objects.get()
    moved = ("mx", State.SKIPPED) if is_named else ("br", State.PENDING)
    assert (row.business, row.state) == moved


def test_a_click_of_a_business_that_is_gone_mends_nothing(
    rf: RequestFactory, configure: Any, settings: Any
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own}, BUSINESS_RESOLVER=lambda *_: "br")
    visit = visit_of(rf)
    configure(BUSINESSES={}, BUSINESS_RESOLVER=None)
    outbox.record(make_purchase())
    bind_order(visit, "ORD-7821")
    assert Conversion.objects.get().state == State.SKIPPED


def test_where_unattributed_orders_are_left_out_a_later_binding_needs_the_signal_again(
    visit: HttpRequest, configure: Any
) -> None:
    configure(RECORD_UNATTRIBUTED=False)
    order_completed.send(None, purchase=make_purchase())
    assert bind_order(visit, "ORD-7821") is not None
    assert not Conversion.objects.exists()
    order_completed.send(None, purchase=make_purchase())
    assert Conversion.objects.get().state == State.PENDING


def test_a_binding_by_an_employee_is_the_employees_click(visit: HttpRequest) -> None:
    """As the documentation says, so that it says what to do instead."""
    customer = User.objects.create(username="ada")
    own = make_click(user=customer)
    visit.user = User.objects.create(username="staff")
    bind_order(visit, "1")
    assert outbox.record(make_purchase("1"), user=customer).attribution != own
    assert outbox.record(make_purchase("2"), user=customer).attribution == own


def test_a_binding_without_a_click_leaves_that_of_an_earlier_customer(
    rf: RequestFactory, visit: HttpRequest
) -> None:
    bind_order(visit, "2001")
    assert bind_order(visit_of(rf, "/"), "2001") is None
    row = outbox.record(make_purchase("2001"))
    assert row.attribution == Attribution.objects.get()


@pytest.mark.parametrize("way", ["binding", "token"])
@pytest.mark.parametrize("held", ["incomplete", "old"])
def test_a_click_that_cannot_be_credited_yields_to_the_users_own(
    rf: RequestFactory, way: str, held: str
) -> None:
    request = visit_of(rf, TAGGED if held == "old" else "/?cnct_tracking_id=only")
    request.user = User.objects.create(username="ada")
    if held == "old":
        entry = request.session["connectly_tracking"]
        request.session["connectly_tracking"] = entry | {"at": entry["at"] - 40 * DAY}
        Attribution.objects.update(captured_at=moment(entry["at"] - 40 * DAY))
    own = make_click(user=request.user, age=DAY)
    token = None
    if way == "token":
        token = attribution.make_token(request)
    else:
        bind_order(request, "ORD-7821")
    row = outbox.record(make_purchase(), token=token)
    assert (row.state, row.attribution) == (State.PENDING, own)


def test_a_click_that_cannot_be_credited_is_bound_if_the_user_has_no_better(
    rf: RequestFactory,
) -> None:
    request = visit_of(rf, "/?cnct_tracking_id=only")
    request.user = User.objects.create(username="ada")
    make_click(user=request.user, age=40 * DAY)
    bind_order(request, "ORD-7821")
    assert outbox.record(make_purchase()).reason == Reason.INCOMPLETE_CLICK


def test_an_order_that_was_invalid_at_first_waits_for_its_click(
    visit: HttpRequest, configure: Any
) -> None:
    configure(STRICT=False)
    outbox.record(make_purchase(currency="EURO"))
    outbox.record(make_purchase())
    assert Conversion.objects.get().reason == Reason.NOT_ATTRIBUTED
    bind_order(visit, "ORD-7821")
    assert Conversion.objects.get().state == State.PENDING


def test_a_later_signal_says_why_its_click_is_not_credited() -> None:
    outbox.record(make_purchase())
    outbox.record(make_purchase(), attribution=make_click(age=40 * DAY))
    row = Conversion.objects.get()
    assert (row.reason, row.sendout_id) == (Reason.OUTSIDE_WINDOW, "send-1")
    assert row.value == make_purchase().value


@pytest.mark.parametrize("later", ["invalid", "no click"])
def test_a_later_signal_that_says_less_changes_nothing(
    later: str, configure: Any
) -> None:
    configure(STRICT=False)
    outbox.record(make_purchase(), attribution=make_click(age=40 * DAY))
    before = Conversion.objects.values().get()
    outbox.record(make_purchase(**({"currency": "EURO"} if later == "invalid" else {})))
    assert Conversion.objects.values().get() == before


def test_a_later_signal_without_a_user_leaves_the_orders_own() -> None:
    user = User.objects.create(username="ada")
    outbox.record(make_purchase(), user=user)
    outbox.record(make_purchase(), attribution=make_click(age=40 * DAY))
    assert Conversion.objects.get().user == user


def test_where_unattributed_orders_are_left_out_a_corrected_one_leaves_nothing(
    configure: Any,
) -> None:
    configure(RECORD_UNATTRIBUTED=False, STRICT=False)
    outbox.record(make_purchase(currency="EURO"))
    assert Conversion.objects.get().reason == Reason.INVALID
    assert outbox.record(make_purchase()).pk is None
    assert not Conversion.objects.exists()


@pytest.mark.parametrize("comes", ["bind_order", "incomplete", "too old"])
def test_an_order_of_another_business_with_the_same_number_stays_as_it_is(
    rf: RequestFactory, configure: Any, settings: Any, comes: str
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(
        BUSINESSES={"br": own, "mx": own},
        BUSINESS_RESOLVER=lambda request, _order: "br" if request else "mx",
        CONSENT=(lambda _request: None) if comes == "bind_order" else None,
    )
    outbox.record(make_purchase(value=10), business="mx")
    before = Conversion.objects.values().get()
    if comes == "bind_order":
        visit = visit_of(rf)
        bind_order(visit, "ORD-7821")
        attribution.forget(visit)
    else:
        age = 40 * DAY if comes == "too old" else 0
        landing = replace(LANDING, ad_id="") if comes == "incomplete" else LANDING
        click = make_click(landing, business="br", age=age)
        outbox.record(make_purchase(value=99), user=click_owner(click))
    row = Conversion.objects.values().get(business="mx")
    assert row | {"detail": ""} == before


def click_owner(click: Attribution) -> User:
    click.user = User.objects.create(username="ada")
    click.save()
    return click.user


def test_a_later_signal_with_a_click_leaves_nothing_of_what_waited() -> None:
    outbox.record(make_purchase())
    assert Conversion.objects.get().payload
    outbox.record(make_purchase(), attribution=make_click())
    row = Conversion.objects.get()
    assert (row.state, row.payload) == (State.PENDING, "")
    assert row.body
