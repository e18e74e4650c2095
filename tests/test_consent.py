"""Yes, no, not yet, and yes no more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectly_tracking import attribution, outbox
from connectly_tracking.api.verdicts import Outcome, Verdict
from connectly_tracking.attribution import (
    bind_order,
    consent_changed,
    forget,
    make_token,
    recall,
)
from connectly_tracking.attribution import session as sessions
from connectly_tracking.attribution.cookie import COOKIE_NOTE, note_cookie
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import claim
from connectly_tracking.delivery.run import Run
from connectly_tracking.delivery.send import Result
from connectly_tracking.delivery.settle import Settlement
from connectly_tracking.events import ViewContent
from connectly_tracking.models import (
    Attribution,
    Conversion,
    DbNow,
    OrderAttribution,
    Reason,
    State,
)

from .conftest import LANDING, TAGGED, make_click, make_purchase

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.test import RequestFactory

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
DAY = 86400


class Banner:
    """What the visitor has said so far."""

    answer: Any = None
    asked = 0

    def __call__(self, request: HttpRequest) -> Any:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def banner(configure: Any) -> Banner:
    banner = Banner()
    configure(CONSENT=banner)
    return banner


@pytest.fixture
def request_(rf: RequestFactory) -> HttpRequest:
    request = rf.get(TAGGED)
    request.session = SessionStore()
    return request


def land(request: HttpRequest) -> None:
    attribution.land(request)


def in_session(request: HttpRequest) -> bool:
    return sessions.KEY in request.session


def test_with_consent_all_is_as_without_a_question(
    banner: Banner, request_: HttpRequest
) -> None:
    banner.answer = True
    land(request_)
    assert Attribution.objects.count() == 1
    assert outbox.record(make_purchase(), request=request_).state == State.PENDING


def test_without_consent_nothing_is_stored(
    banner: Banner, request_: HttpRequest
) -> None:
    banner.answer = False
    land(request_)
    assert not in_session(request_)
    assert not Attribution.objects.exists()
    row = outbox.record(make_purchase(), request=request_)
    assert (row.state, row.reason) == (State.SKIPPED, Reason.CONSENT_REFUSED)
    assert (row.attribution_id, row.payload, row.body) == (None, "", "")


@pytest.mark.parametrize("answer", [None, RuntimeError("vault"), "yes", 1])
def test_not_asked_yet_is_the_session_alone(
    banner: Banner, request_: HttpRequest, answer: Any
) -> None:
    banner.answer = answer
    land(request_)
    assert in_session(request_)
    assert not Attribution.objects.exists()
    row = outbox.record(make_purchase(), request=request_)
    assert (row.state, row.reason) == (State.SKIPPED, Reason.CONSENT_PENDING)
    assert (row.sendout_id, row.ad_id, row.body) == ("", "", "")
    assert not Attribution.objects.exists()


def test_an_answer_that_is_neither_yes_nor_no_is_logged_by_its_type(
    banner: Banner, request_: HttpRequest, caplog: pytest.LogCaptureFixture
) -> None:
    banner.answer = "yes"
    land(request_)
    assert "consent_not_known answer_type=str" in caplog.text


def test_a_late_yes_sends_the_order_that_waited(
    banner: Banner, request_: HttpRequest, sandbox: Sandbox
) -> None:
    land(request_)
    outbox.record(make_purchase(), request=request_)
    banner.answer = True
    consent_changed(request_)
    row = Conversion.objects.get()
    assert row.state == State.PENDING
    assert row.sendout_id == LANDING.sendout_id
    assert row.attribution == Attribution.objects.get()
    assert deliver() == {State.DELIVERED: 1}


def test_a_late_no_ends_it(banner: Banner, request_: HttpRequest) -> None:
    land(request_)
    outbox.record(make_purchase(), request=request_)
    banner.answer = False
    consent_changed(request_)
    assert not in_session(request_)
    assert not Attribution.objects.exists()
    row = Conversion.objects.get()
    assert (row.state, row.reason, row.payload) == (
        State.SKIPPED,
        Reason.CONSENT_REFUSED,
        "",
    )


@pytest.mark.parametrize(
    "meet",
    [
        recall,
        make_token,
        lambda request: bind_order(request, "ORD-7821"),
        lambda request: attribution.capture(request, {}),
        lambda request: outbox.record(make_purchase(), request=request),
    ],
    ids=["recall", "make_token", "bind_order", "capture", "the order"],
)
def test_whatever_meets_a_waiting_click_asks_again(
    banner: Banner, request_: HttpRequest, meet: Any
) -> None:
    land(request_)
    banner.answer = True
    meet(request_)
    assert Attribution.objects.count() == 1
    assert outbox.record(make_purchase(), request=request_).state == State.PENDING


@pytest.mark.parametrize(
    "meet",
    [
        recall,
        make_token,
        lambda request: bind_order(request, "ORD-7821"),
        lambda request: attribution.capture(request, {}),
        lambda request: outbox.record(make_purchase(), request=request),
        lambda request: outbox.record(make_purchase("ORD-2"), request=request),
    ],
    ids=["recall", "make_token", "bind_order", "capture", "the order", "another order"],
)
def test_whatever_meets_a_waiting_click_takes_a_no_for_an_answer(
    banner: Banner, request_: HttpRequest, meet: Any
) -> None:
    land(request_)
    outbox.record(make_purchase(), request=request_)
    banner.answer = False
    meet(request_)
    assert not in_session(request_)
    row = Conversion.objects.get(order_id="ORD-7821")
    assert (row.reason, row.payload) == (Reason.CONSENT_REFUSED, "")


def test_an_order_that_is_sent_again_with_a_yes_sends_the_others_that_waited(
    banner: Banner, request_: HttpRequest
) -> None:
    land(request_)
    outbox.record(make_purchase("ORD-1"), request=request_)
    outbox.record(make_purchase("ORD-2"), request=request_)
    banner.answer = True
    outbox.record(make_purchase("ORD-2"), request=request_)
    click = Attribution.objects.get()
    for row in Conversion.objects.all():
        assert (row.state, row.attribution) == (State.PENDING, click)


@pytest.mark.parametrize("answer", [None, False])
def test_a_login_before_a_yes_stores_nothing(
    banner: Banner, request_: HttpRequest, answer: bool | None
) -> None:
    land(request_)
    banner.answer = answer
    ada = User.objects.create(username="ada")
    with CaptureQueriesContext(connection) as queries:
        attribution.attach_user(request_, ada)
    tables = [query for query in queries if "connectly_tracking" in query["sql"]]
    assert answer is False or not tables
    assert not Attribution.objects.exists()
    assert in_session(request_) == (answer is None)


def test_what_the_session_holds_is_nobodys_after_a_no(
    banner: Banner, request_: HttpRequest
) -> None:
    banner.answer = True
    land(request_)
    banner.answer = False
    assert recall(request_) is None


@pytest.mark.parametrize("carry", ["token", "binding"])
def test_an_order_that_comes_by_webhook_waits_for_the_answer(
    banner: Banner, request_: HttpRequest, carry: str
) -> None:
    land(request_)
    token = make_token(request_) if carry == "token" else None
    if carry == "binding":
        bind_order(request_, "ORD-7821")
    row = outbox.record(make_purchase(), token=token)
    assert row.reason == Reason.CONSENT_PENDING
    banner.answer = True
    consent_changed(request_)
    row.refresh_from_db()
    assert row.state == State.PENDING


@pytest.mark.parametrize("before", ["no click", "an old click"])
@pytest.mark.parametrize(
    "view",
    [
        lambda request: bind_order(request, "ORD-7821"),
        lambda request: outbox.record(make_purchase(), request=request),
    ],
    ids=["bind_order", "the order"],
)
def test_the_webhook_may_come_before_the_view_and_the_answer(
    banner: Banner, request_: HttpRequest, view: Any, before: str
) -> None:
    land(request_)
    old = make_click(age=40 * DAY) if before == "an old click" else None
    outbox.record(make_purchase(), attribution=old)  # the webhook
    view(request_)
    row = Conversion.objects.get()
    assert (row.reason, row.sendout_id) == (Reason.CONSENT_PENDING, "")
    banner.answer = True
    consent_changed(request_)
    row.refresh_from_db()
    assert (row.state, row.sendout_id) == (State.PENDING, LANDING.sendout_id)
    assert row.value == make_purchase().value


@pytest.mark.parametrize("first", ["binding", "webhook", "invalid webhook"])
def test_an_order_that_waits_has_the_business_of_its_click(
    banner: Banner, request_: HttpRequest, configure: Any, settings: Any, first: str
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(
        BUSINESSES={"br": own, "mx": own},
        BUSINESS_RESOLVER=lambda request, _order: "br" if request else "mx",
    )
    land(request_)
    purchase = make_purchase(event_time=timezone.now())
    if first == "binding":
        bind_order(request_, "ORD-7821")
        row = outbox.record(purchase)
    else:
        configure(STRICT=False)
        bad = make_purchase(currency="EURO")
        came = outbox.record(bad if first == "invalid webhook" else purchase)
        assert came.business == "mx"
        row = outbox.record(purchase, request=request_)
    assert (row.business, row.reason) == ("br", Reason.CONSENT_PENDING)
    banner.answer = True
    consent_changed(request_)
    assert Conversion.objects.get().state == State.PENDING


def test_the_last_binding_says_for_which_click_an_order_waits(
    banner: Banner, request_: HttpRequest, rf: RequestFactory
) -> None:
    outbox.record(make_purchase())
    land(request_)
    bind_order(request_, "ORD-7821")
    again = rf.get(TAGGED.replace("send-1", "send-2"))
    again.session = SessionStore()
    land(again)
    bind_order(again, "ORD-7821")
    banner.answer = True
    consent_changed(again)
    row = Conversion.objects.get()
    assert (row.state, row.sendout_id) == (State.PENDING, "send-2")


def test_a_withdrawal_stops_what_was_not_sent_and_forgets_the_click(
    banner: Banner, request_: HttpRequest, sandbox: Sandbox
) -> None:
    banner.answer = True
    land(request_)
    bind_order(request_, "ORD-1")
    sent = outbox.record(make_purchase("ORD-1"), request=request_)
    deliver()
    waits = outbox.record(make_purchase("ORD-2"), request=request_)
    banner.answer = False
    consent_changed(request_)
    waits.refresh_from_db()
    sent.refresh_from_db()
    assert (waits.state, waits.reason) == (State.SKIPPED, Reason.CONSENT_WITHDRAWN)
    assert waits.body == ""
    assert sent.state == State.DELIVERED
    assert not in_session(request_)
    assert not Attribution.objects.exists()
    assert outbox.replay(Conversion.objects.all()) == 0
    assert not deliver()


def test_what_is_being_sent_at_a_withdrawal_is_not_tried_again(
    banner: Banner, request_: HttpRequest, sandbox: Sandbox
) -> None:
    banner.answer = True
    land(request_)
    outbox.record(make_purchase(), request=request_)
    claim(Run.begin(), "default", 1)
    banner.answer = False
    consent_changed(request_)
    Conversion.objects.update(due_at=DbNow(-1))
    assert deliver() == {State.SKIPPED: 1}
    assert sandbox.received_count == 0


@pytest.mark.parametrize("end", [consent_changed, forget])
@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.REJECTED, Reason.REFUSED),
        (State.EXPIRED, Reason.EXPIRED),
        (State.SKIPPED, Reason.SENDING_OFF),
        (State.SKIPPED, Reason.CANCELLED),
    ],
)
def test_what_was_given_up_before_a_withdrawal_cannot_be_sent_again(
    banner: Banner, request_: HttpRequest, state: State, reason: Reason, end: Any
) -> None:
    banner.answer = True
    land(request_)
    row = outbox.record(make_purchase(), request=request_)
    Conversion.objects.update(state=state, reason=reason, due_at=None)
    banner.answer = False
    end(request_)
    row.refresh_from_db()
    assert (row.state, row.reason, row.body) == (state, reason, "")
    assert outbox.replay(Conversion.objects.all()) == 0


@pytest.mark.parametrize(
    "outcome", [Outcome.UNKNOWN, Outcome.THROTTLED, Outcome.REFUSED, Outcome.INTERNAL]
)
def test_what_is_sent_at_a_withdrawal_cannot_be_sent_again_if_it_fails(
    banner: Banner, request_: HttpRequest, sandbox: Sandbox, outcome: Outcome
) -> None:
    banner.answer = True
    land(request_)
    outbox.record(make_purchase(), request=request_)
    run = Run.begin()
    batch = claim(run, "default", 1)
    assert batch is not None
    banner.answer = False
    consent_changed(request_)
    now = timezone.now()
    result = Result(
        row=batch.rows[0],
        verdict=Verdict(outcome=outcome),
        started_at=now,
        finished_at=now,
    )
    assert Settlement(run, batch).write([result])
    Conversion.objects.exclude(due_at=None).update(due_at=DbNow(-1))
    deliver()
    assert sandbox.received_count == 0
    assert Conversion.objects.get().due_at is None
    assert outbox.replay(Conversion.objects.all()) == 0


def test_an_order_that_waits_is_stopped_by_the_banner_not_by_a_later_signal(
    banner: Banner, request_: HttpRequest
) -> None:
    banner.answer = True
    land(request_)
    bind_order(request_, "ORD-7821")
    row = outbox.record(make_purchase())
    banner.answer = False
    outbox.record(make_purchase(), request=request_)
    row.refresh_from_db()
    assert row.state == State.PENDING
    consent_changed(request_)
    row.refresh_from_db()
    assert (row.state, row.reason) == (State.SKIPPED, Reason.CONSENT_WITHDRAWN)


@pytest.mark.parametrize("answered", [None, True], ids=["pending", "given"])
def test_an_order_that_is_bound_to_a_click_says_that_the_customer_said_no(
    banner: Banner, request_: HttpRequest, answered: bool | None
) -> None:
    banner.answer = answered
    land(request_)
    bind_order(request_, "ORD-7821")
    banner.answer = False
    consent_changed(request_)
    row = outbox.record(make_purchase())
    assert (row.state, row.reason) == (State.SKIPPED, Reason.CONSENT_REFUSED)
    assert (row.payload, row.attribution_id) == ("", None)
    assert OrderAttribution.objects.get().attribution_id is None


@pytest.mark.parametrize(
    ("answered", "meet"),
    [(None, consent_changed), (None, recall), (True, consent_changed)],
    ids=["pending", "met later", "given"],
)
def test_an_order_that_has_a_clicks_token_says_that_the_customer_said_no(
    banner: Banner, request_: HttpRequest, answered: bool | None, meet: Any
) -> None:
    banner.answer = answered
    land(request_)
    token = make_token(request_)
    banner.answer = False
    meet(request_)
    row = outbox.record(make_purchase(), token=token)
    assert (row.state, row.reason) == (State.SKIPPED, Reason.CONSENT_REFUSED)
    assert (row.payload, row.attribution_id) == ("", None)


@pytest.mark.parametrize("end", [consent_changed, forget])
def test_a_customer_who_is_logged_in_withdraws_for_every_device(
    banner: Banner, request_: HttpRequest, end: Any
) -> None:
    ada, eve = (User.objects.create(username=name) for name in ("ada", "eve"))
    hers = make_click(user=ada)
    make_click(user=eve)
    make_click()
    waits = outbox.record(make_purchase(), attribution=hers)
    banner.answer = False
    request_.user = ada
    end(request_)
    waits.refresh_from_db()
    assert waits.reason == Reason.CONSENT_WITHDRAWN
    assert not Attribution.objects.filter(user=ada).exists()
    assert Attribution.objects.count() == 2
    assert outbox.record(make_purchase("ORD-2"), user=ada).state == State.SKIPPED


@pytest.fixture
def waits(banner: Banner, request_: HttpRequest) -> Conversion:
    """An order of the visitor, who has opened the link of another campaign since."""
    banner.answer = True
    land(request_)
    row = outbox.record(make_purchase(), request=request_)
    request_.META["QUERY_STRING"] = TAGGED[2:].replace("send-1", "send-2")
    land(request_)
    assert Attribution.objects.count() == 2
    banner.answer = False
    return row


@pytest.mark.parametrize("end", [consent_changed, forget])
def test_a_no_is_for_every_link_that_the_visitor_has_opened(
    request_: HttpRequest, waits: Conversion, end: Any
) -> None:
    stranger = make_click(replace(LANDING, cnct_tracking_id="track-2"))
    account = make_click(user=User.objects.create(username="eve"))
    end(request_)
    waits.refresh_from_db()
    assert (waits.state, waits.reason) == (State.SKIPPED, Reason.CONSENT_WITHDRAWN)
    assert set(Attribution.objects.all()) == {stranger, account}


@pytest.mark.parametrize("end", [consent_changed, forget])
def test_a_no_is_for_the_session_and_for_the_cookie(
    banner: Banner, request_: HttpRequest, end: Any
) -> None:
    in_cookie = make_click(replace(LANDING, cnct_tracking_id="track-2"))
    before = make_click(in_cookie.landing)
    rows = [outbox.record(make_purchase(), attribution=before)]
    banner.answer = True
    land(request_)
    rows.append(outbox.record(make_purchase("ORD-2"), request=request_))
    note_cookie(request_, in_cookie.pk)
    request_.COOKIES["connectly_click"] = getattr(request_, COOKIE_NOTE)
    banner.answer = False
    end(request_)
    for row in rows:
        row.refresh_from_db()
        assert row.reason == Reason.CONSENT_WITHDRAWN
    assert not Attribution.objects.exists()


@pytest.mark.parametrize("end", [consent_changed, forget])
def test_a_customer_withdraws_for_what_was_ordered_as_a_guest(
    banner: Banner, request_: HttpRequest, end: Any
) -> None:
    ada, eve = (User.objects.create(username=name) for name in ("ada", "eve"))
    guest, other = (make_click(replace(LANDING, ad_id=ad)) for ad in "12")
    row = outbox.record(make_purchase(), attribution=guest, user=ada)
    kept = outbox.record(make_purchase("ORD-2"), attribution=other, user=eve)
    banner.answer = False
    request_.user = ada
    end(request_)
    row.refresh_from_db()
    assert (row.reason, row.body) == (Reason.CONSENT_WITHDRAWN, "")
    assert Attribution.objects.get() == other
    kept.refresh_from_db()
    assert kept.state == State.PENDING


def test_only_a_no_looks_for_other_clicks(
    banner: Banner, request_: HttpRequest, waits: Conversion
) -> None:
    banner.answer = True
    with CaptureQueriesContext(connection) as queries:
        consent_changed(request_)
    assert not [query for query in queries if "connectly_tracking" in query["sql"]]


def test_forgetting_needs_no_question(request_: HttpRequest) -> None:
    land(request_)
    row = outbox.record(make_purchase(), request=request_)
    forget(request_)
    row.refresh_from_db()
    assert row.reason == Reason.CONSENT_WITHDRAWN
    assert not Attribution.objects.exists()
    forget(request_)


def test_nobody_is_asked_on_an_untagged_page(
    banner: Banner, client: Any, configure: Any
) -> None:
    client.get("/")
    assert banner.asked == 0


def test_values_that_are_too_long_for_a_session_are_not_kept_without_consent(
    banner: Banner, rf: RequestFactory, caplog: pytest.LogCaptureFixture
) -> None:
    request = rf.get(TAGGED.replace("track-1", "t" * 1000).replace("clid-1", "c" * 900))
    request.session = SessionStore()
    land(request)
    assert not in_session(request)
    assert not Attribution.objects.exists()
    assert "too_long_without_consent" in caplog.text


def test_a_refusal_holds_for_the_clicks_that_the_customer_had_before(
    banner: Banner, rf: RequestFactory, configure: Any
) -> None:
    banner.answer = False
    request = rf.get("/")
    request.session = SessionStore()
    request.user = User.objects.create(username="ada")
    make_click(user=request.user)
    assert make_token(request) == ""
    assert bind_order(request, "ORD-7821") is None
    assert outbox.record(ViewContent(content_ids=["tee"]), request=request).pk is None
    row = outbox.record(make_purchase(), request=request)
    assert row.reason == Reason.CONSENT_REFUSED


@pytest.mark.parametrize("is_logged_out", [True, False])
@pytest.mark.parametrize("end", [consent_changed, forget])
def test_a_no_to_a_click_without_a_row_is_for_those_with_its_tracking_id(
    banner: Banner, rf: RequestFactory, end: Any, is_logged_out: bool
) -> None:
    ada, eve = (User.objects.create(username=name) for name in ("ada", "eve"))
    request = rf.get(
        TAGGED, headers={} if is_logged_out else {"Sec-Purpose": "prefetch"}
    )
    request.session = SessionStore()
    banner.answer = True
    land(request)
    Attribution.objects.update(user=ada)  # who has logged out since
    make_click(user=ada if is_logged_out else None)
    others = make_click(user=eve)
    banner.answer = False
    end(request)
    assert Attribution.objects.get() == others


@pytest.mark.django_db(transaction=True)
def test_a_yes_is_noted_in_the_session_once_the_row_is_written(
    banner: Banner, request_: HttpRequest
) -> None:
    land(request_)
    banner.answer = True
    consent_changed(request_)
    entry = request_.session[sessions.KEY]
    assert (entry["stored"], entry.get("pending")) == (True, None)
