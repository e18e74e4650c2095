"""The click's own cookie, and a session that a landing does not harm."""

from __future__ import annotations

import importlib
import logging
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.contrib.sessions.backends.cache import SessionStore as CacheStore
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.cache import cache
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from django.utils import timezone

from connectly_tracking import attribution
from connectly_tracking.api.landing import PARAMETERS
from connectly_tracking.attribution.binding import write_token
from connectly_tracking.events import ViewContent
from connectly_tracking.models import Attribution, Conversion
from connectly_tracking.outbox import record
from connectly_tracking.signals import content_viewed

from .conftest import LANDING, TAGGED, make_purchase

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.test import RequestFactory

    from .conftest import Configure

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

NAME = "connectly_click"
OTHER = TAGGED.replace("send-1", "send-2")


def put(request: HttpRequest) -> HttpResponse:
    request.session["cart"] = "x" * int(request.GET.get("n", 3))
    return HttpResponse("put")


def cart(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.session.get("cart")))


def slow(request: HttpRequest) -> HttpResponse:
    """Another tab fills the cart while this page is made."""
    other = type(request.session)(request.COOKIES["sessionid"])
    other["cart"] = "mug"
    other.save()
    return HttpResponse("slow")


def late(request: HttpRequest) -> HttpResponse:
    """Another tab fills the cart; then this page notes what was looked at."""
    slow(request)
    request.session["seen"] = "tee"
    return HttpResponse("late")


def token(request: HttpRequest) -> HttpResponse:
    return HttpResponse(attribution.make_token(request))


def recall(request: HttpRequest) -> HttpResponse:
    click = attribution.recall(request)
    return HttpResponse(click.sendout_id if click else "")


def leave(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("bye")


def refuse(request: HttpRequest) -> HttpResponse:
    attribution.forget(request)
    return HttpResponse("forgotten")


def buy(request: HttpRequest) -> HttpResponse:
    row = record(make_purchase(request.GET["order"]), request=request)
    return HttpResponse(f"{row.state} {row.reason} {row.sendout_id}".strip())


def capture(request: HttpRequest) -> HttpResponse:
    wrapped = type("Wrapped", (), {"_request": request})()
    for name in ("session", "COOKIES", "META", "user"):
        setattr(wrapped, name, getattr(request, name))
    attribution.capture(wrapped, request.POST.dict())
    return HttpResponse("captured")


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


urlpatterns = [
    path("put/", put),
    path("cart/", cart),
    path("slow/", slow),
    path("late/", late),
    path("token/", token),
    path("recall/", recall),
    path("leave/", leave),
    path("refuse/", refuse),
    path("buy/", buy),
    path("capture/", capture),
    path("connectly/", include("connectly_tracking.urls")),
    path("", page),
]


def bought(client: Client, order: str = "1") -> str:
    return client.get("/buy/", {"order": order}).content.decode()


def use_engine(settings: Any, engine: str, tmp_path: Any) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    importlib.import_module(settings.SESSION_ENGINE)
    cache.clear()


def test_a_landing_sets_it_and_says_that_the_answer_varies() -> None:
    answer = Client().get(TAGGED)
    cookie = answer.cookies[NAME]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"]) == ("Lax", "/")
    assert cookie["max-age"] == 28 * 86400
    assert "Cookie" in answer["Vary"]
    assert not any(value in cookie.value for value in ("track", "clid", "send"))


@pytest.mark.parametrize(
    ("window", "days"), [(None, 400), (500 * 86400, 400), (3600 * 24, 1)]
)
def test_it_lasts_as_long_as_a_click_counts(
    configure: Configure, window: object, days: int
) -> None:
    configure(ATTRIBUTION_WINDOW=window)
    assert Client().get(TAGGED).cookies[NAME]["max-age"] == days * 86400


def test_it_is_where_the_session_is(settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = True
    settings.SESSION_COOKIE_DOMAIN = ".shop.example"
    settings.SESSION_COOKIE_PATH = "/shop"
    cookie = Client().get(TAGGED).cookies[NAME]
    place = (cookie["secure"], cookie["domain"], cookie["path"])
    assert place == (True, ".shop.example", "/shop")


def test_the_same_landing_again_sets_it_once() -> None:
    client = Client()
    client.get(TAGGED)
    with CaptureQueriesContext(connection) as queries:
        assert NAME not in client.get(TAGGED).cookies
    reading = ("SELECT", "SAVEPOINT", "RELEASE")  # in the test's own transaction
    assert not [query for query in queries if not query["sql"].startswith(reading)]


@pytest.mark.parametrize(
    ("changes", "headers"),
    [
        ({"CLICK_COOKIE": None}, {}),
        ({"CLICK_COOKIE": "no good;"}, {}),
        ({"CONSENT": lambda request: None}, {}),
        ({"CONSENT": lambda request: False}, {}),
        ({}, {"HTTP_SEC_PURPOSE": "prefetch"}),
        ({}, {"HTTP_USER_AGENT": "WhatsApp/2.23"}),
    ],
)
def test_it_is_not_set_for_a_click_without_a_row(
    configure: Configure, changes: dict[str, Any], headers: dict[str, str]
) -> None:
    configure(**changes)
    assert NAME not in Client().get(TAGGED, **headers).cookies  # type: ignore[arg-type]


def test_a_yes_sets_it(configure: Configure) -> None:
    client = Client()
    configure(CONSENT=lambda request: None)
    client.get(TAGGED)
    configure(CONSENT=lambda request: True)
    assert bought(client) == "pending  send-1"
    assert NAME in client.cookies


@pytest.mark.parametrize("url", [OTHER, "/refuse/"])
def test_a_no_deletes_it(configure: Configure, url: str) -> None:
    client = Client()
    client.get(TAGGED)
    configure(CONSENT=lambda request: False)
    assert client.get(url).cookies[NAME].value == ""
    assert NAME not in Client().get(url).cookies


def test_the_endpoint_and_a_capture_in_a_view_set_it() -> None:
    client = Client()
    query = TAGGED.removeprefix("/?")
    client.post("/connectly/capture/", query, content_type="text/plain")
    assert client.cookies[NAME].value
    form = "application/x-www-form-urlencoded"
    assert Client().post("/capture/", query, content_type=form).cookies[NAME].value


def test_it_is_not_a_token_and_a_token_is_not_it() -> None:
    client = Client()
    client.get(TAGGED)
    click = Attribution.objects.get()
    del client.cookies["sessionid"]
    value = client.cookies[NAME].value
    assert bought(client, "1") == "pending  send-1"
    wrong = [write_token(click.pk), value[:-1], "", "é" * 45, value.swapcase()]
    for number, forged in enumerate(wrong):
        client.cookies[NAME] = forged
        assert bought(client, f"wrong-{number}") == "skipped not_attributed"


def test_an_old_key_is_accepted(settings: Any) -> None:
    client = Client()
    client.get(TAGGED)
    del client.cookies["sessionid"]
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another" * 9
    assert bought(client) == "pending  send-1"


def test_a_cookie_of_a_deleted_click_is_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = Client()
    client.get(TAGGED)
    del client.cookies["sessionid"]
    Attribution.objects.all().delete()
    with caplog.at_level(logging.INFO):
        assert bought(client) == "skipped not_attributed"
    assert not caplog.records


@pytest.mark.parametrize(
    ("touch", "credited"), [("last", "send-2"), ("first", "send-1")]
)
@pytest.mark.parametrize("is_older_in_session", [True, False])
def test_of_two_clicks_the_touch_decides(
    configure: Configure, touch: str, credited: str, is_older_in_session: bool
) -> None:
    configure(ATTRIBUTION_TOUCH=touch)
    older, newer = Client(), Client()
    older.get(TAGGED)
    newer.get(OTHER)
    held, other = (older, newer) if is_older_in_session else (newer, older)
    held.cookies[NAME] = other.cookies[NAME].value
    assert bought(held) == f"pending  {credited}"


def test_an_order_by_the_cookie_costs_one_query_more() -> None:
    client = Client()
    client.get(TAGGED)
    with CaptureQueriesContext(connection) as with_session:
        bought(client, "1")
    session_id = client.cookies.pop("sessionid")
    with CaptureQueriesContext(connection) as by_cookie:
        bought(client, "2")
    assert session_id
    assert _click_reads(with_session) == 0
    assert _click_reads(by_cookie) == 1


def _click_reads(queries: CaptureQueriesContext) -> int:
    table = connection.ops.quote_name("connectly_tracking_attribution")
    return sum(f"FROM {table}" in query["sql"] for query in queries)


@pytest.mark.parametrize("engine", ["db", "cache", "cached_db", "file"])
def test_a_landing_leaves_what_another_tab_wrote(
    settings: Any, engine: str, tmp_path: Any
) -> None:
    use_engine(settings, engine, tmp_path)
    client = Client()
    client.get("/put/")
    answer = client.get(f"/slow{TAGGED}")
    assert "sessionid" not in answer.cookies
    assert client.get("/cart/").content == b"mug"
    assert bought(client) == "pending  send-1"


def test_a_prefetched_link_that_is_opened_after_all_outlives_a_logout() -> None:
    client = Client()
    client.get(TAGGED, headers={"Sec-Purpose": "prefetch"})
    assert not Attribution.objects.exists()
    assert NAME in client.get(TAGGED).cookies
    client.get("/leave/")
    assert bought(client) == "pending  send-1"


class AddressStore(CacheStore):
    """As those of packages that show a customer where he is logged in."""

    def __init__(self, session_key: str | None = None, ip: str | None = None) -> None:
        super().__init__(session_key)
        self.ip = ip

    def save(self, must_create: bool = False) -> None:
        self["ip"] = self.ip
        super().save(must_create)


class AddressMiddleware(SessionMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        key = request.COOKIES.get("sessionid")
        request.session = AddressStore(key, ip=request.META["REMOTE_ADDR"])


def test_a_store_keeps_what_its_middleware_gave_it(settings: Any) -> None:
    middleware = "connectly_tracking.middleware.AttributionMiddleware"
    settings.MIDDLEWARE = [f"{__name__}.AddressMiddleware", middleware]
    client = Client()
    client.get("/put/")
    client.get(TAGGED)
    stored = AddressStore(client.cookies["sessionid"].value)
    assert stored["ip"] == "127.0.0.1"
    assert stored["connectly_tracking"]["values"][1] == "send-1"


@pytest.mark.parametrize("url", ["/token/", "/recall/"])
def test_an_answer_with_the_click_in_it_varies_by_the_cookie(url: str) -> None:
    client = Client()
    client.get("/put/")
    client.get(TAGGED)
    answer = client.get(url)
    assert len(answer.content) > 3
    assert "Cookie" in answer["Vary"]


@pytest.mark.parametrize("engine", ["db", "cache", "cached_db", "file"])
def test_a_session_that_has_ended_is_asked_for_once(
    settings: Any, engine: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_engine(settings, engine, tmp_path)
    client = Client()
    client.cookies["sessionid"] = "x" * 32
    store = importlib.import_module(settings.SESSION_ENGINE).SessionStore
    load, keys = store.load, []

    def counted(session: Any) -> Any:
        keys.append(session.session_key)
        return load(session)

    monkeypatch.setattr(store, "load", counted)
    client.get(TAGGED)
    # Read by our copy, written by a fresh one, and replaced by a new session.
    assert keys.count("x" * 32) <= 3
    assert bought(client) == "pending  send-1"


@pytest.mark.parametrize("engine", ["db", "cache", "cached_db", "file"])
# The page without the parameters shows what the shop does by itself.
@pytest.mark.parametrize(("page", "saves_each"), [("late", False), ("slow", True)])
@pytest.mark.parametrize("link", ["/", TAGGED], ids=["untagged", "tagged"])
def test_a_page_that_saves_the_session_itself_leaves_what_another_tab_wrote(
    settings: Any, engine: str, tmp_path: Any, page: str, saves_each: bool, link: str
) -> None:
    use_engine(settings, engine, tmp_path)
    client = Client()
    client.get("/put/")
    settings.SESSION_SAVE_EVERY_REQUEST = saves_each
    client.get(f"/{page}{link}")
    settings.SESSION_SAVE_EVERY_REQUEST = False
    assert client.get("/cart/").content == b"mug"
    if link == TAGGED:
        assert bought(client) == "pending  send-1"


@pytest.mark.parametrize("engine", ["db", "cache", "cached_db", "file"])
def test_a_landing_is_saved_at_once_into_the_session_that_exists(
    settings: Any, engine: str, tmp_path: Any
) -> None:
    use_engine(settings, engine, tmp_path)
    client = Client()
    client.get("/put/")
    client.get(TAGGED)
    del client.cookies[NAME]
    assert client.get("/cart/").content == b"xxx"
    assert bought(client) == "pending  send-1"


@pytest.mark.parametrize("engine", ["db", "cache", "cached_db", "file"])
def test_a_session_that_has_ended_begins_again(
    settings: Any, engine: str, tmp_path: Any
) -> None:
    use_engine(settings, engine, tmp_path)
    client = Client()
    client.cookies["sessionid"] = "a" * 32
    client.get(TAGGED)
    assert client.cookies["sessionid"].value != "a" * 32
    del client.cookies[NAME]
    assert bought(client) == "pending  send-1"


@pytest.mark.parametrize("is_consent_open", [True, False])
@pytest.mark.parametrize("spelling", ["Strict", "strict", "STRICT"])
def test_a_strict_session_that_is_not_shown_is_not_replaced(
    settings: Any, configure: Configure, spelling: str, is_consent_open: bool
) -> None:
    settings.SESSION_COOKIE_SAMESITE = spelling
    if is_consent_open:
        configure(CONSENT=lambda request: None)
    client = Client()
    assert "sessionid" not in client.get(TAGGED).cookies
    if not is_consent_open:
        assert bought(client) == "pending  send-1"


@pytest.mark.parametrize("engine", ["db", "signed_cookies"])
@pytest.mark.parametrize("without_row", ["consent", "prefetch", "cookie"])
def test_nor_is_it_by_a_click_that_no_cookie_carries(
    settings: Any, configure: Configure, tmp_path: Any, engine: str, without_row: str
) -> None:
    settings.SESSION_COOKIE_SAMESITE = "Strict"
    use_engine(settings, engine, tmp_path)
    if without_row == "consent":
        configure(CONSENT=lambda request: None)
    if without_row == "cookie":
        configure(CLICK_COOKIE=None)
    headers = {"Sec-Purpose": "prefetch"} if without_row == "prefetch" else {}
    assert "sessionid" not in Client().get(TAGGED, headers=headers).cookies


@pytest.mark.parametrize("why", ["strict", "path", "signed", "none"])
def test_a_click_that_only_the_answers_cookie_has_is_there_at_once(
    settings: Any, tmp_path: Any, rf: RequestFactory, why: str
) -> None:
    request = rf.post("/")
    if why == "signed":
        use_engine(settings, "signed_cookies", tmp_path)
    if why == "strict":
        settings.SESSION_COOKIE_SAMESITE = "Strict"
    if why == "path":
        settings.SESSION_COOKIE_PATH = "/shop/"
    if why != "none":
        store = importlib.import_module(settings.SESSION_ENGINE).SessionStore
        request.session = store()
    values = dict(zip(PARAMETERS, LANDING.values, strict=True))
    assert attribution.capture(request, values) == Attribution.objects.get()
    assert attribution.make_token(request)
    attribution.forget(request)
    assert attribution.make_token(request) == ""


def test_the_views_of_a_visitor_with_our_cookie_alone_are_recorded(
    settings: Any, rf: RequestFactory
) -> None:
    client = Client()
    client.get(TAGGED)
    request = rf.get("/product/")
    request.COOKIES[NAME] = client.cookies[NAME].value
    view = ViewContent(content_ids=["mug"])
    content_viewed.send(None, request=request, view=view)
    assert Conversion.objects.get().event_name == "ViewContent"


@pytest.mark.parametrize("folder", ["/", "", None])
def test_a_session_for_every_path_has_the_click(settings: Any, folder: Any) -> None:
    settings.SESSION_COOKIE_PATH = folder
    client = Client()
    client.get(TAGGED)
    assert "connectly_tracking" in client.session


@pytest.mark.parametrize("folder", ["/shop", "/shop/"])
def test_outside_its_path_a_session_is_not_replaced(settings: Any, folder: str) -> None:
    settings.SESSION_COOKIE_PATH = folder
    client = Client()
    assert "sessionid" not in client.get(TAGGED).cookies
    assert client.cookies[NAME]["path"] == folder
    assert bought(client) == "pending  send-1"


def test_a_strict_session_that_is_shown_has_the_click(settings: Any) -> None:
    settings.SESSION_COOKIE_SAMESITE = "Strict"
    client = Client()
    client.get("/put/")
    client.get(TAGGED)
    del client.cookies[NAME]
    assert bought(client) == "pending  send-1"


@pytest.mark.parametrize("steps", ["in land out", "land in out", "land out", "land in"])
def test_the_click_outlives_a_logout(steps: str) -> None:
    client = Client()
    for step in steps.split():
        if step == "in":
            client.force_login(User.objects.get_or_create(username="ana")[0])
        else:
            client.get({"land": TAGGED, "out": "/leave/"}[step])
    assert bought(client) == "pending  send-1"


@pytest.mark.parametrize("length", [3, 2800, 3600])
def test_a_session_in_a_cookie_does_not_grow(settings: Any, length: int) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    client = Client()
    client.get(f"/put/?n={length}")
    assert "sessionid" not in client.get(TAGGED).cookies
    assert client.get("/cart/").content == b"x" * length
    assert bought(client) == "pending  send-1"


@pytest.mark.parametrize(("cart_bytes", "is_kept"), [(3, True), (2900, False)])
def test_without_our_cookie_a_session_in_a_cookie_grows_to_its_bound(
    settings: Any,
    configure: Configure,
    cart_bytes: int,
    is_kept: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    configure(CLICK_COOKIE=None)
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    store = SessionStore()
    store["cart"] = secrets.token_urlsafe(cart_bytes)  # cannot be compressed
    store.save()
    client = Client()
    client.cookies["sessionid"] = store.session_key or ""
    client.get(TAGGED)
    assert len(client.cookies["sessionid"].value) < 4096
    assert client.get("/cart/").content.decode() == store["cart"]
    assert bought(client).startswith("pending") is is_kept
    assert ("cookie_too_long" in caplog.text) is not is_kept


def test_a_page_that_began_before_the_landing_and_ends_after_it() -> None:
    client = Client()
    client.get("/put/")
    client.get(TAGGED)
    session = client.session
    del session["connectly_tracking"]  # the page saved what it had read before
    session.save()
    assert bought(client) == "pending  send-1"


@pytest.mark.parametrize("dest", ["image", "script", "iframe", "empty", "style", "x"])
def test_what_a_page_embeds_is_not_a_landing(dest: str) -> None:
    client = Client()
    assert NAME not in client.get(TAGGED, HTTP_SEC_FETCH_DEST=dest).cookies
    assert not Attribution.objects.exists()
    client.get(TAGGED, HTTP_SEC_FETCH_DEST="document")
    assert Attribution.objects.count() == 1


def test_a_prefetch_is_kept_whatever_it_is_for() -> None:
    client = Client()
    headers = {"Sec-Fetch-Dest": "empty", "Sec-Purpose": "prefetch"}
    client.get(TAGGED, headers=headers)
    assert not Attribution.objects.exists()
    assert bought(client) == "pending  send-1"


@pytest.mark.parametrize("touch", ["last", "first"])
@pytest.mark.parametrize("engine", ["db", "cache", "signed_cookies"])
def test_the_same_link_is_a_new_click_when_the_old_one_was_erased_elsewhere(
    settings: Any, configure: Configure, tmp_path: Any, engine: str, touch: str
) -> None:
    use_engine(settings, engine, tmp_path)
    configure(ATTRIBUTION_TOUCH=touch)
    user = User.objects.create_user("ana")
    laptop, phone = Client(), Client()
    for client in (laptop, phone):
        client.force_login(user)
    laptop.get(TAGGED)
    phone.get("/refuse/")
    assert not Attribution.objects.exists()
    laptop.get(TAGGED)
    assert Attribution.objects.count() == 1
    assert bought(laptop) == "pending  send-1"


@pytest.mark.parametrize("has_session", [True, False])
@pytest.mark.parametrize(("age", "clicks"), [(27, 1), (29, 2), (300, 2)])
def test_the_same_link_is_a_new_click_when_the_old_one_no_longer_counts(
    has_session: bool, age: int, clicks: int
) -> None:
    client = Client()
    client.get(TAGGED)
    past = timezone.now() - timedelta(days=age)
    Attribution.objects.update(captured_at=past)
    session = client.session
    entry = session["connectly_tracking"]
    session["connectly_tracking"] = entry | {"at": past.timestamp()}
    session.save()
    if not has_session:
        del client.cookies["sessionid"]
    client.get(TAGGED)
    assert Attribution.objects.count() == clicks
    assert bought(client) == "pending  send-1"


@pytest.mark.parametrize(
    ("changes", "host", "secure"),
    [
        ({"PREPEND_WWW": True}, "shop.example", False),
        ({"SECURE_SSL_REDIRECT": True}, "shop.example", False),
        (
            {"SECURE_SSL_REDIRECT": True, "SECURE_SSL_HOST": "www.shop.example"},
            "shop.example",
            False,
        ),
        ({"APPEND_SLASH": True}, "www.shop.example", True),
    ],
)
def test_a_redirect_of_djangos_own_keeps_the_click(
    settings: Any, changes: dict[str, Any], host: str, secure: bool
) -> None:
    settings.ALLOWED_HOSTS = ["shop.example", "www.shop.example"]
    for name, value in changes.items():
        setattr(settings, name, value)
    moved = Client().get(f"/cart{TAGGED[1:]}", headers={"Host": host}, secure=secure)
    place = urlsplit(moved["Location"])
    assert moved.status_code == 301
    # A browser that has none of the cookies of the first host.
    client = Client()
    client.get(
        f"{place.path}?{place.query}",
        headers={"Host": place.netloc or host},
        secure=place.scheme == "https" or secure,
    )
    session = client.session["connectly_tracking"]
    assert session["values"][0] == "track-1"
