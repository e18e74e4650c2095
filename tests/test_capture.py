"""Landings through the middleware, as a browser brings them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import path

from connectly_tracking import attribution, outbox
from connectly_tracking.api.landing import PARAMETERS
from connectly_tracking.attribution import session as sessions
from connectly_tracking.models import MAX_REFUSED, Attribution, Conversion
from connectly_tracking.signals import attribution_captured

from .conftest import LANDING, TAGGED, make_purchase, table_refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

IDS = ("cnct_tracking_id", "sendout_id", "ctwa_clid", "ad_id")


def page(request: HttpRequest) -> HttpResponse:
    click = attribution.recall(request) if "recall" in request.GET else None
    return HttpResponse(str(click and click.sendout_id))


def checkout(request: HttpRequest) -> HttpResponse:
    request.session["cart"] = "mug"
    with transaction.atomic():
        if "captured" in request.GET:
            attribution.capture(request, PARAMS)
        attribution.bind_order(request, "ORD-1")
        transaction.set_rollback("declined" in request.GET)
    return HttpResponse("declined" if "declined" in request.GET else "bound")


def buy(request: HttpRequest) -> HttpResponse:
    return HttpResponse(outbox.record(make_purchase("ORD-0"), request=request).state)


def answer(request: HttpRequest) -> HttpResponse:
    attribution.consent_changed(request)
    return HttpResponse()


PARAMS = {name: getattr(LANDING, name) for name in PARAMETERS}
urlpatterns = [
    path("", page),
    path("checkout/", checkout),
    path("buy/", buy),
    path("answer/", answer),
]
pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]


def ours(queries: CaptureQueriesContext) -> list[str]:
    """The statements on our tables, by their first word."""
    return [
        query["sql"].split()[0]
        for query in queries.captured_queries
        if "connectly_tracking_" in query["sql"]
    ]


def tagged(**values: str) -> str:
    pairs = {name: getattr(LANDING, name) for name in IDS} | values
    return "/?" + "&".join(f"{name}={value}" for name, value in pairs.items())


def held(client: Client) -> Any:
    return client.session.get(sessions.KEY)


@pytest.fixture
def heard() -> Iterator[list[Attribution]]:
    """The clicks of which listeners were told."""
    clicks: list[Attribution] = []

    def listen(attribution: Attribution, **_: Any) -> None:
        clicks.append(attribution)

    attribution_captured.connect(listen)
    yield clicks
    attribution_captured.disconnect(listen)


def test_a_landing_by_a_new_visitor_is_one_insert_and_no_select_of_ours(
    client: Client,
) -> None:
    with CaptureQueriesContext(connection) as queries:
        client.get(TAGGED)
    assert ours(queries) == ["INSERT"]


def test_a_landing_seen_before_writes_nothing(client: Client) -> None:
    client.get(TAGGED)
    with CaptureQueriesContext(connection) as queries:
        response = client.get(TAGGED)
    assert ours(queries) == ["SELECT"]  # was it erased meanwhile?
    # The test's own transaction is why there are savepoints.
    reading = ("SELECT", "SAVEPOINT", "RELEASE")
    assert not [q for q in queries if not q["sql"].startswith(reading)]
    assert not response.cookies
    assert Attribution.objects.count() == 1


def test_the_five_values_are_in_the_session_and_in_the_row(client: Client) -> None:
    client.get(TAGGED)
    row = Attribution.objects.get()
    assert row.landing == LANDING
    assert row.reportable
    assert held(client)["id"] == row.pk.hex
    assert held(client)["values"] == [
        *(getattr(LANDING, name) for name in IDS),
        "meta_ctwa",
    ]


def test_a_view_can_recall_the_click_in_the_same_request(client: Client) -> None:
    assert client.get(f"{TAGGED}&recall").content == b"send-1"


@pytest.mark.parametrize(
    "raw", ["a+b", "a%2Bb", "a/b", "a==", "100%", "a_b-c", "%252B", "x" * 1024]
)
def test_an_id_is_kept_as_it_stood_in_the_url(client: Client, raw: str) -> None:
    client.get(tagged(ctwa_clid=raw))
    expected = raw.replace("%2B", "+") if raw == "a%2Bb" else raw.replace("%25", "%")
    assert Attribution.objects.get().ctwa_clid == expected


def test_ids_of_full_length_live_in_the_row_and_the_session_stays_small(
    client: Client,
) -> None:
    client.get(tagged(**dict.fromkeys(IDS, "x" * 1024)))
    assert "values" not in held(client)
    assert len(str(held(client))) < 400
    with CaptureQueriesContext(connection) as queries:
        again = client.get(tagged(**dict.fromkeys(IDS, "x" * 1024)) + "&recall")
    # Is the row still there? And the view's own recall; no write.
    assert ours(queries) == ["SELECT", "SELECT"]
    assert again.content == b"x" * 1024


def test_a_new_complete_click_replaces_the_one_before(client: Client) -> None:
    client.get(TAGGED)
    client.get(tagged(sendout_id="send-2"))
    assert Attribution.objects.count() == 2
    assert client.get("/?recall").content == b"send-2"


def test_an_incomplete_click_is_kept_but_never_replaces_a_complete_one(
    client: Client,
) -> None:
    client.get(TAGGED)
    for _ in range(3):
        client.get("/?cnct_tracking_id=track-2&sendout_id=send-2")
    assert client.get("/?recall").content == b"send-1"
    lesser = Attribution.objects.get(sendout_id="send-2")
    assert not lesser.reportable


def test_a_complete_click_replaces_an_incomplete_one(client: Client) -> None:
    client.get("/?cnct_tracking_id=track-2&sendout_id=send-2")
    assert client.get("/?recall").content == b"send-2"
    client.get(TAGGED)
    assert client.get("/?recall").content == b"send-1"


def test_another_source_is_kept_and_not_reportable(client: Client) -> None:
    client.get(tagged(attribution_source="newsletter"))
    row = Attribution.objects.get()
    assert (row.attribution_source, row.reportable) == ("newsletter", False)


def test_a_link_with_everything_wrong_in_it_has_a_row(client: Client) -> None:
    bad = "".join(f"&{name}=%00" for name in PARAMETERS)
    cut = "?".join(f"{name}=META_CTWA)." for name in PARAMETERS)
    client.get(f"/?{cut}?x{bad}")
    click = Attribution.objects.get()
    assert click.cnct_tracking_id == "META_CTWA"
    assert len(click.refused) == MAX_REFUSED


def test_a_refused_value_is_logged_and_shown_without_its_content(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.get(tagged(ad_id="{{ad.id}}", ctwa_clid="se cret".replace(" ", "%20")))
    assert Attribution.objects.get().refused == (
        "ctwa_clid: not_printable_ascii, ad_id: placeholder"
    )
    assert "name=ad_id length=9 reason=placeholder" in caplog.text
    assert "cret" not in caplog.text


def test_an_invalid_landing_keeps_an_older_valid_one(client: Client) -> None:
    client.get(TAGGED)
    client.get("/?cnct_tracking_id=undefined&sendout_id=send-2")
    assert client.get("/?recall").content == b"send-1"
    assert Attribution.objects.count() == 1


@pytest.mark.parametrize("method", ["post", "head", "options", "put"])
def test_only_a_page_view_is_a_landing(client: Client, method: str) -> None:
    getattr(client, method)(TAGGED)
    assert Attribution.objects.count() == 0


@pytest.mark.parametrize("agent", ["WhatsApp/2.23.20.0", "facebookexternalhit/1.1"])
def test_preview_fetchers_are_no_customers(client: Client, agent: str) -> None:
    response = client.get(TAGGED, headers={"User-Agent": agent})
    assert response.status_code == 200
    assert Attribution.objects.count() == 0
    assert not response.cookies


def test_a_browser_inside_whatsapp_is_a_customer(client: Client) -> None:
    agent = "Mozilla/5.0 (iPhone) AppleWebKit/605 Mobile WhatsApp/2.24 facebookexternal"
    client.get(TAGGED, headers={"User-Agent": agent})
    assert Attribution.objects.count() == 1


@pytest.mark.parametrize(
    "header",
    [
        {"Sec-Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
    ],
)
def test_a_prefetch_is_held_by_the_session_alone(
    client: Client, header: dict[str, str]
) -> None:
    client.get(TAGGED, headers=header)
    assert Attribution.objects.count() == 0
    assert client.get("/?recall").content == b"send-1"


@pytest.mark.django_db(transaction=True)
def test_a_prefetched_click_gets_its_row_at_login(client: Client) -> None:
    client.get(TAGGED, headers={"Sec-Purpose": "prefetch"})
    client.force_login(User.objects.create(username="ada"))
    assert str(Attribution.objects.get().user) == "ada"
    assert held(client)["stored"] is True


@pytest.mark.parametrize("engine", ["db", "cache"])
@pytest.mark.parametrize("landing", ["consent", "prefetch", "captured"])
def test_a_declined_checkout_does_not_cost_the_next_one_its_click(
    client: Client, configure: Any, settings: Any, engine: str, landing: str
) -> None:
    """The row is rolled back with the shop's transaction, the session is not."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    if landing == "consent":
        configure(CONSENT=lambda request: "yes" in request.GET or None)
    headers = {"Sec-Purpose": "prefetch"} if landing == "prefetch" else {}
    if landing != "captured":
        client.get(TAGGED, headers=headers)
    url = f"/checkout/?yes&{landing}"
    assert client.get(f"{url}&declined").content == b"declined"
    assert not Attribution.objects.exists()
    assert client.get(url).content == b"bound"
    row = outbox.record(make_purchase("ORD-1"))
    assert (row.state, row.attribution_id) == ("pending", Attribution.objects.get().pk)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("then", ["nothing", "forget", "newer"])
def test_what_a_commit_notes_in_the_session_is_what_is_still_true(
    rf: RequestFactory, then: str
) -> None:
    request = rf.get(TAGGED, headers={"Sec-Purpose": "prefetch"})
    request.session = SessionStore()
    attribution.land(request)
    with transaction.atomic():
        attribution.bind_order(request, "ORD-1")
        if then == "forget":
            attribution.forget(request)
        if then == "newer":
            attribution.capture(request, PARAMS | {"sendout_id": "send-2"})
    entry = request.session.get(sessions.KEY)
    if then == "forget":
        assert entry is None
    else:
        campaign = "send-2" if then == "newer" else "send-1"
        assert entry is not None
        assert (entry["stored"], entry["values"][1]) == (True, campaign)


def test_a_row_that_is_written_again_has_its_customer(
    client: Client, rf: RequestFactory
) -> None:
    client.force_login(User.objects.create(username="ada"))
    client.get(TAGGED)
    Attribution.objects.all().delete()  # as a rollback does
    request = rf.get("/")
    request.session = client.session
    attribution.make_token(request)
    assert str(Attribution.objects.get().user) == "ada"


def test_a_row_that_could_serve_no_order_is_not_written_again(
    client: Client, rf: RequestFactory, configure: Any
) -> None:
    client.get(TAGGED)
    Attribution.objects.all().delete()
    configure(ATTRIBUTION_WINDOW=1e-6)
    request = rf.get("/")
    request.session = client.session
    attribution.make_token(request)
    assert not Attribution.objects.exists()


def test_a_double_tap_is_one_click(client: Client) -> None:
    client.get(TAGGED)
    Attribution.objects.all().delete()  # the other request has not written it yet
    client.get(TAGGED)
    assert not Attribution.objects.exists()


@pytest.mark.parametrize("refused", ["attribution", "orderattribution"])
def test_without_the_database_a_new_click_is_in_the_session(
    client: Client, settings: Any, refused: str
) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    client.get(TAGGED)
    with table_refused(f"connectly_tracking_{refused}"):
        client.get(tagged(sendout_id="send-2"))
    assert held(client)["values"][1] == "send-2"


def test_a_visitor_who_returns_has_the_new_click_though_the_old_cannot_be_read(
    client: Client, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    client.get(TAGGED)
    del client.cookies["sessionid"]

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "connectly_tracking_" in sql:
            return execute("SELECT no_such_column", (), False, context)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        client.get(tagged(sendout_id="send-2"))
    assert held(client)["values"][1] == "send-2"
    assert "landing_not_kept" in caplog.text


def test_a_yes_in_a_declined_checkout_is_asked_for_again(
    client: Client, configure: Any
) -> None:
    configure(CONSENT=lambda request: "yes" in request.GET or None)
    client.get(TAGGED)
    client.get("/buy/")
    assert Conversion.objects.get().reason == "consent_pending"
    client.get("/checkout/?yes&declined")
    assert Conversion.objects.get().reason == "consent_pending"
    client.get("/answer/?yes")
    assert Conversion.objects.get().state == "pending"


@pytest.mark.parametrize("use", ["bind", "order"])
def test_a_prefetched_click_of_a_customer_who_is_logged_in_is_theirs(
    client: Client, rf: RequestFactory, use: str
) -> None:
    client.force_login(User.objects.create(username="ada"))
    client.get(TAGGED, headers={"Sec-Purpose": "prefetch"})
    request = rf.get("/")
    request.session = client.session
    if use == "bind":
        attribution.bind_order(request, "ORD-7821")
    else:
        outbox.record(make_purchase(), request=request)
    assert str(Attribution.objects.get().user) == "ada"


def test_a_prefetch_of_an_incomplete_link_writes_no_row_and_tells_no_listener(
    client: Client, heard: list[Attribution]
) -> None:
    client.get(TAGGED)
    kept = held(client)
    heard.clear()
    url = "/?cnct_tracking_id=track-2"
    client.get(url, headers={"Sec-Purpose": "prefetch"})
    assert Attribution.objects.count() == 1
    assert held(client) == kept
    assert not heard
    client.get(url)  # a person opens it after all
    assert Attribution.objects.count() == 2
    assert [click.cnct_tracking_id for click in heard] == ["track-2"]


def test_login_attaches_the_click_to_the_user(client: Client) -> None:
    client.get(TAGGED)
    assert Attribution.objects.get().user is None
    client.force_login(User.objects.create(username="ada"))
    assert str(Attribution.objects.get().user) == "ada"
    assert client.get("/?recall").content == b"send-1"


def test_a_login_without_a_click_asks_and_says_nothing(
    rf: RequestFactory, caplog: pytest.LogCaptureFixture
) -> None:
    request = rf.get("/")
    request.session = SessionStore()
    with CaptureQueriesContext(connection) as queries:
        attribution.attach_user(request, User(pk=7))
    assert not queries
    assert not caplog.records


def test_a_login_reads_no_click_that_has_its_row(rf: RequestFactory) -> None:
    request = rf.get(tagged(**dict.fromkeys(IDS, "x" * 1024)))
    request.session = SessionStore()
    attribution.land(request)
    user = User.objects.create(username="ada")
    with CaptureQueriesContext(connection) as queries:
        attribution.attach_user(request, user)
    assert ours(queries) == ["UPDATE"]
    assert Attribution.objects.get().user == user


def test_login_leaves_a_click_with_its_first_user(client: Client) -> None:
    client.get(TAGGED)
    first, second = (User.objects.create(username=name) for name in ("ada", "bob"))
    Attribution.objects.update(user=first)
    client.force_login(second)
    assert Attribution.objects.get().user == first


def test_a_visitor_who_is_logged_in_owns_the_click_without_a_query(
    client: Client,
) -> None:
    user = User.objects.create(username="ada")
    client.force_login(user)
    with CaptureQueriesContext(connection) as queries:
        client.get(TAGGED)
    assert Attribution.objects.get().user == user
    assert not [query for query in queries if "auth_user" in query["sql"]]


def test_a_deleted_user_leaves_the_click(client: Client) -> None:
    user = User.objects.create(username="ada")
    client.force_login(user)
    client.get(TAGGED)
    user.delete()
    assert Attribution.objects.get().user is None


@pytest.mark.parametrize(
    "entry",
    [
        [1, 2],
        7,
        "text",
        None,
        {},
        {"v": 0, "id": "x"},
        {
            "v": 1,
            "id": "no-uuid",
            "at": 1,
            "business": "default",
            "digest": "",
            "reportable": True,
            "stored": True,
        },
        {
            "v": 1,
            "id": "0" * 32,
            "at": 1,
            "business": "default",
            "digest": "",
            "reportable": True,
            "stored": True,
            "values": [1, 2, 3, 4, 5],
        },
        {
            "v": 1,
            "id": "0" * 32,
            "at": 1,
            "business": "default",
            "digest": "",
            "reportable": True,
            "stored": True,
            "values": ["only one"],
        },
    ],
)
def test_a_session_entry_that_is_not_ours_counts_as_none(
    client: Client, entry: object
) -> None:
    client.get("/")
    session = client.session
    session[sessions.KEY] = entry
    session.save()
    assert client.get("/?recall").content == b"None"
    client.get(TAGGED)
    assert client.get("/?recall").content == b"send-1"


class DownStore(SessionStore):
    def _get_session(self, no_load: bool = False) -> Any:
        raise ConnectionError("the session store is down")

    _session = property(_get_session)


def test_with_the_session_store_down_the_row_is_written_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = RequestFactory().get(TAGGED)
    request.session = DownStore()
    attribution.land(request)
    assert Attribution.objects.get().landing == LANDING
    assert "session_not_written error=ConnectionError" in caplog.text


def test_with_the_row_refused_the_page_is_served_and_the_session_has_the_values(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with table_refused("connectly_tracking_attribution"):
        assert client.get(TAGGED).status_code == 200
    assert held(client)["stored"] is False
    assert "landing_not_kept" in caplog.text
    assert "track-1" not in caplog.text


def test_capture_takes_decoded_values_and_passes_over_the_rest(
    rf: RequestFactory,
) -> None:
    request = rf.post("/api/landing")
    request.session = SessionStore()
    click = attribution.capture(
        request,
        {
            **{name: getattr(LANDING, name) for name in IDS},
            "ad_id": "a b",
            "x": object(),
        },
    )
    assert click is not None
    assert click == Attribution.objects.get()
    assert (click.ctwa_clid, click.ad_id, click.reportable) == ("clid-1", "", False)


@pytest.mark.parametrize("junk", [7, None, b"bytes", ["list"], {"a": 1}, 1.5])
def test_capture_of_a_value_that_is_no_text_keeps_nothing(
    rf: RequestFactory, junk: object
) -> None:
    request = rf.post("/")
    request.session = SessionStore()
    assert attribution.capture(request, {"cnct_tracking_id": junk}) is None


def test_listeners_hear_of_a_new_click_and_cannot_break_the_page(
    client: Client,
) -> None:
    heard: list[Attribution] = []

    def listen(attribution: Attribution, **_: Any) -> None:
        heard.append(attribution)
        raise RuntimeError("the listener's own fault")

    attribution_captured.connect(listen)
    try:
        assert client.get(TAGGED).status_code == 200
        client.get(TAGGED)
    finally:
        attribution_captured.disconnect(listen)
    assert heard == list(Attribution.objects.all())


@pytest.mark.parametrize("reason", ["refused", "too long", "no session", "lesser"])
def test_listeners_do_not_hear_of_a_click_that_was_not_kept(
    rf: RequestFactory, configure: Any, heard: list[Attribution], reason: str
) -> None:
    request = rf.get(tagged(ctwa_clid="x" * 1024, ad_id="x" * 1024))
    if reason != "too long":
        request = rf.get(TAGGED)
    if reason != "no session":
        request.session = SessionStore()
    if reason == "lesser":
        attribution.land(request)
        heard.clear()
        request.META["QUERY_STRING"] = "cnct_tracking_id=track-2"
    configure(CONSENT=lambda request: False if reason == "refused" else None)
    attribution.land(request)
    assert not heard
    assert Attribution.objects.count() == (reason == "lesser")


@pytest.mark.parametrize(
    "value", ["%(key)s", "{0}", "javascript:alert(1)", "a<script>alert(1)</script>"]
)
def test_markup_and_format_strings_are_kept_as_text(client: Client, value: str) -> None:
    client.get(tagged(sendout_id=quote(value, safe="")))
    assert Attribution.objects.get().sendout_id == value


def test_a_resolver_that_fails_costs_neither_the_click_nor_the_page(
    client: Client, configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(BUSINESS_RESOLVER=lambda request, order: 1 / 0)
    assert client.get(TAGGED).status_code == 200
    assert "resolver_failed error=ZeroDivisionError" in caplog.text
    assert Attribution.objects.get().business == "default"


def test_a_click_is_recalled_as_none_where_the_table_does_not_answer(
    client: Client, rf: RequestFactory
) -> None:
    long = dict.fromkeys(IDS, "x" * 1024)
    request = rf.get(tagged(**long))
    request.session = SessionStore()
    attribution.land(request)

    def fail(execute: Any, sql: str, *rest: Any) -> Any:
        if "connectly_tracking_attribution" in sql:
            return execute("SELECT no_such_column", (), *rest[1:])
        return execute(sql, *rest)

    with connection.execute_wrapper(fail):
        assert attribution.recall(request) is None
    assert Attribution.objects.count() == 1


def test_a_prefetched_click_whose_order_came_first_is_the_users_at_login(
    rf: RequestFactory,
) -> None:
    request = rf.get(TAGGED, headers={"Sec-Purpose": "prefetch"})
    request.session = SessionStore()
    attribution.land(request)
    outbox.record(make_purchase(), request=request)
    user = User.objects.create(username="ada")
    attribution.attach_user(request, user)
    assert Attribution.objects.get().user == user


def test_a_login_without_a_request_is_none_of_ours(db: None) -> None:
    user = User.objects.create(username="ada")
    user_logged_in.send(sender=User, user=user)


@pytest.mark.parametrize(
    ("at", "kept"),
    [
        ("/sale/", "/sale/"),
        ("/caf%C3%A9/%00", "/caf%C3%A9/%00"),
        ("/" + "x" * 300, "/" + "x" * 254),
    ],
)
def test_the_landing_page_is_kept_without_its_query(
    rf: RequestFactory, at: str, kept: str
) -> None:
    request = rf.get(at + TAGGED.lstrip("/"))
    request.session = SessionStore()
    attribution.land(request)
    assert Attribution.objects.get().page == kept


@pytest.mark.parametrize(
    ("referer", "kept"),
    [("https://shop.example/sale/?utm=1", "/sale/"), ("http://[", ""), ("", "")],
)
def test_of_a_page_from_a_cache_the_referer_names_it(
    rf: RequestFactory, referer: str, kept: str
) -> None:
    request = rf.post("/capture/", headers={"Referer": referer})
    request.session = SessionStore()
    attribution.land_from(request, TAGGED.partition("?")[2])
    assert Attribution.objects.get().page == kept
