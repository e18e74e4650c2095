"""Two requests of one visitor at once, on a server with a thread for each."""

from __future__ import annotations

import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests
from django.core.cache import cache
from django.http import HttpResponse
from django.urls import path

from connectly_tracking.models import Attribution
from connectly_tracking.outbox import record

from .conftest import TAGGED, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from django.http import HttpRequest
    from pytest_django.live_server_helper import LiveServer

pytestmark = [
    pytest.mark.urls(__name__),
    pytest.mark.django_db(transaction=True),
]

#: Seconds; only a test that fails takes as long.
PATIENCE = 30
ENGINES = ["db", "cached_db", "cache", "file"]

began, go_on = threading.Event(), threading.Event()


def page(request: HttpRequest) -> HttpResponse:
    """Reads the cart; with ``slow`` it is held until `go_on` is set."""
    cart = request.session.get("cart", [])
    if "slow" in request.GET:
        began.set()
        assert go_on.wait(PATIENCE)
    if sku := request.GET.get("sku"):
        request.session["cart"] = [*cart, sku]
    return HttpResponse(" ".join(request.session.get("cart", [])))


def buy(request: HttpRequest) -> HttpResponse:
    row = record(make_purchase("1"), request=request)
    return HttpResponse(f"{row.state} {row.reason}".strip())


urlpatterns = [path("", page), path("buy/", buy)]


class Visitor:
    """A browser: its cookies, and as many connections as it likes."""

    def __init__(self, server: LiveServer) -> None:
        self.url = server.url
        self.cookies: dict[str, str] = {}
        self.pool = ThreadPoolExecutor(2)

    def get(self, url: str) -> str:
        answer = requests.get(self.url + url, cookies=self.cookies, timeout=PATIENCE)
        assert answer.status_code == 200
        self.cookies |= answer.cookies.get_dict()
        return answer.text

    def begin(self, url: str) -> Future[str]:
        """A request that is under way when this returns."""
        sent = self.pool.submit(self.get, url)
        assert began.wait(PATIENCE)
        return sent


@pytest.fixture(params=ENGINES)
def visitor(
    request: pytest.FixtureRequest, settings: Any, tmp_path: Any, live_server: Any
) -> Iterator[Visitor]:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    importlib.import_module(settings.SESSION_ENGINE)
    cache.clear()
    began.clear()
    go_on.clear()
    visitor = Visitor(live_server)
    visitor.get("/?sku=tee")
    yield visitor
    go_on.set()
    visitor.pool.shutdown()


def test_a_slow_landing_leaves_what_another_tab_puts_into_the_cart(
    visitor: Visitor,
) -> None:
    landing = visitor.begin(f"{TAGGED}&slow")
    assert Attribution.objects.exists()
    visitor.get("/?sku=mug")
    go_on.set()
    landing.result(PATIENCE)
    assert visitor.get("/") == "tee mug"
    assert visitor.get("/buy/") == "pending"


def test_a_slow_landing_that_fills_the_cart_itself_keeps_the_click(
    visitor: Visitor,
) -> None:
    landing = visitor.begin(f"{TAGGED}&slow&sku=mug")
    visitor.get("/?sku=pot")
    go_on.set()
    landing.result(PATIENCE)
    # Which mug or pot is left is the shop's own race; the click is in it either way.
    assert visitor.get("/").startswith("tee ")
    assert visitor.get("/buy/") == "pending"


@pytest.mark.parametrize("ending", ["&sku=mug", ""])
def test_a_page_that_began_before_the_landing_does_not_cost_the_click(
    settings: Any, visitor: Visitor, ending: str
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = not ending
    slow = visitor.begin(f"/?slow{ending}")
    visitor.get(TAGGED)
    go_on.set()
    assert slow.result(PATIENCE).startswith("tee")
    assert visitor.get("/buy/") == "pending"


def test_two_links_opened_at_once_are_two_clicks_and_one_order(
    visitor: Visitor,
) -> None:
    first = visitor.begin(f"{TAGGED}&slow")
    visitor.get(TAGGED.replace("send-1", "send-2"))
    go_on.set()
    first.result(PATIENCE)
    assert Attribution.objects.count() == 2
    assert visitor.get("/") == "tee"
    assert visitor.get("/buy/") == "pending"
