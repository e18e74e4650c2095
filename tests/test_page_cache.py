"""Django's page caches, before our middleware and behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache
from django.core.checks import run_checks
from django.http import HttpResponse
from django.middleware.cache import CacheMiddleware, FetchFromCacheMiddleware
from django.template import engines
from django.template.response import TemplateResponse
from django.test import Client
from django.urls import path
from django.views.decorators.cache import cache_control, cache_page

from connectly_tracking.models import Attribution
from connectly_tracking.outbox import record

from .conftest import TAGGED, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

OURS = "connectly_tracking.middleware.AttributionMiddleware"
SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
UPDATE = "django.middleware.cache.UpdateCacheMiddleware"
FETCH = "django.middleware.cache.FetchFromCacheMiddleware"
BOTH = "django.middleware.cache.CacheMiddleware"
BEHIND = [UPDATE, SESSION, OURS, FETCH]
BEFORE = [UPDATE, FETCH, SESSION, OURS]
RIGHT = [BEHIND, [SESSION, OURS, UPDATE, FETCH], [SESSION, OURS, BOTH]]
ORDERS = [*RIGHT, BEFORE, [BOTH, SESSION, OURS]]
PREVIEW = {"User-Agent": "WhatsApp/2.23"}


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


def rendered_late(request: HttpRequest) -> HttpResponse:
    return TemplateResponse(request, engines["django"].from_string("page"))


def buy(request: HttpRequest) -> HttpResponse:
    row = record(make_purchase(request.GET["order"]), request=request)
    return HttpResponse(f"{row.state} {row.reason}".strip())


urlpatterns = [
    path("", page),
    path("public/", cache_control(public=True, max_age=60)(page)),
    path("view/", cache_page(60)(page)),
    path("late/", cache_page(60)(rendered_late)),
    path("buy/", buy),
]


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def visit(url: str, **headers: str) -> tuple[Client, Any]:
    client = Client()
    client.cookies["lang"] = "es"
    return client, client.get(url, headers=headers)


@pytest.mark.parametrize(
    ("middleware", "url"),
    [
        *((order, url) for order in ORDERS for url in ("/", "/public/")),
        # Before ours, a cache would answer with what the decorator has stored.
        *((order, url) for order in RIGHT for url in ("/view/", "/late/")),
    ],
)
def test_each_visitor_with_one_link_has_a_click_and_nobody_has_anothers(
    settings: Any, middleware: list[str], url: str
) -> None:
    settings.MIDDLEWARE = middleware
    visit(url + TAGGED[1:], **PREVIEW)  # a chat program draws a preview of the link
    assert not Attribution.objects.exists()
    visitors = [visit(url + TAGGED[1:]) for _ in range(3)]
    assert Attribution.objects.count() == 3
    for name in ("connectly_click", "sessionid"):
        given = {answer.cookies[name].value for _, answer in visitors}
        assert len(given) == 3, name
    for number, (client, answer) in enumerate(visitors):
        assert "private" in answer["Cache-Control"]
        assert "public" not in answer["Cache-Control"]
        bought = client.get("/buy/", {"order": number})
        assert bought.content == b"pending"


@pytest.mark.parametrize("middleware", ORDERS)
def test_who_refuses_or_looks_ahead_leaves_nothing_for_the_next(
    settings: Any, configure: Any, middleware: list[str]
) -> None:
    settings.MIDDLEWARE = middleware
    configure(CONSENT=lambda request: request.COOKIES.get("lang") != "es")
    _, refused = visit(TAGGED)
    assert not refused.cookies
    Client().head(TAGGED)
    Client().get(TAGGED, headers={"Sec-Purpose": "prefetch"})
    answer = Client().get(TAGGED)
    assert answer.cookies["connectly_click"].value
    assert Attribution.objects.count() == 1


@pytest.mark.parametrize(
    "link",
    [
        "/?ref=wa?cnct_tracking_id=t&sendout_id=s&ctwa_clid=c&ad_id=1",
        "/?cnct%5Ftracking%5Fid=t&sendout_id=s&ctwa_clid=c&ad_id=1",
        "/?a=1&amp;cnct_tracking_id=t&amp;sendout_id=s&amp;ctwa_clid=c&amp;ad_id=1",
    ],
)
def test_a_damaged_link_is_not_answered_from_the_cache_either(
    settings: Any, link: str
) -> None:
    settings.MIDDLEWARE = BEFORE
    for _ in range(2):
        Client().get(link)
    assert Attribution.objects.count() == 2


@pytest.mark.parametrize("middleware", ORDERS)
@pytest.mark.parametrize("url", ["/?utm_source=wa", "/?sku=cnct-cable", "/view/"])
def test_an_untagged_page_is_cached_as_before(
    settings: Any, middleware: list[str], url: str
) -> None:
    settings.MIDDLEWARE = middleware
    first, second = Client().get(url), Client().get(url)
    assert "Age" in second  # from the cache
    settings.MIDDLEWARE = [name for name in middleware if name != OURS]
    cache.clear()
    assert set(first.headers) == set(Client().get(url).headers)
    assert "private" not in first["Cache-Control"]


class Shops(FetchFromCacheMiddleware):
    """A shop's own."""


class PluginFetchFromCacheMiddleware:
    """Of another package, and not a subclass of Django's."""


class Whole(CacheMiddleware):
    """A shop's own, of both."""


@pytest.mark.parametrize(
    "name",
    [
        FETCH,
        BOTH,
        f"{__name__}.Shops",
        f"{__name__}.Whole",
        f"{__name__}.PluginFetchFromCacheMiddleware",
    ],
)
def test_a_page_cache_before_ours_is_named_with_the_remedy(
    settings: Any, name: str
) -> None:
    def found() -> list[Any]:
        return [it for it in run_checks() if it.id == "connectly_tracking.W017"]

    settings.MIDDLEWARE = [name, SESSION, OURS]
    (problem,) = found()
    assert name in problem.msg
    assert f"Move {name} to the end" in problem.hint
    settings.MIDDLEWARE = [SESSION, OURS, name]
    assert found() == []
