"""The views of docs/developer/rest.md, with the framework's own requests and tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from connectly_tracking import outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.models import Attribution, Conversion, Reason, State
from connectly_tracking.testing.assertions import assert_reported
from example_project.shop.models import Order, Product
from tests.conftest import LANDING, TAGGED, make_purchase

if TYPE_CHECKING:
    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db

PARAMS = dict(pair.split("=") for pair in TAGGED[2:].split("&"))


@pytest.fixture(autouse=True)
def ana(db: None) -> User:
    Product.objects.update_or_create(
        sku="tee", defaults={"name": "Tee", "price": "49.99", "currency": "USD"}
    )
    return User.objects.create_user("ana", password="pass")


def guest() -> APIClient:
    return APIClient(enforce_csrf_checks=True)


def by_token() -> APIClient:
    form = {"username": "ana", "password": "pass"}
    answer = guest().post("/api/token/", form)
    return with_header(f"Token {answer.data['token']}")


def by_jwt() -> APIClient:
    form = {"username": "ana", "password": "pass"}
    answer = guest().post("/api/jwt/", form)
    return with_header(f"Bearer {answer.data['access']}")


def with_header(authorization: str) -> APIClient:
    client = guest()
    client.credentials(HTTP_AUTHORIZATION=authorization)
    return client


def land(client: APIClient, params: Any = PARAMS, shop: str = "/api") -> str:
    answer = client.post(f"{shop}/landed/", params, format="json")
    assert answer.status_code == 200
    # Only cookies could carry what this test wants to see by the user or the token.
    client.cookies.clear()
    return str(answer.data["connectly"])


def buy(client: APIClient, shop: str = "/api", **data: str) -> Order:
    answer = client.post(f"{shop}/orders/", data, format="json")
    assert answer.status_code == 201
    return Order.objects.get(number=answer.data["number"])


def assert_delivered(sandbox: Sandbox, order: Order) -> None:
    deliver()
    click = Attribution.objects.get()
    assert_reported(
        sandbox, order.number, value="99.98", event_time=order.placed_at, click=click
    )
    assert click.landing == LANDING
    assert sandbox.received_count == 1


@pytest.mark.parametrize("log_in", [by_token, by_jwt])
def test_a_customer_with_a_token_needs_no_session(
    sandbox: Sandbox, ana: User, log_in: Any
) -> None:
    assert land(log_in())
    assert Attribution.objects.get().user == ana
    # Another device, with no cookie and no token of the click.
    assert_delivered(sandbox, buy(log_in()))


def test_a_guest_carries_the_token_of_the_click(sandbox: Sandbox) -> None:
    token = land(guest())
    assert_delivered(sandbox, buy(guest(), connectly=token))


def test_a_guest_who_lands_and_logs_in_keeps_the_click(sandbox: Sandbox) -> None:
    token = land(guest())
    assert_delivered(sandbox, buy(by_jwt(), connectly=token))


def test_a_browser_keeps_the_click_in_its_cookies(sandbox: Sandbox) -> None:
    browser = guest()
    answer = browser.post("/api/landed/", PARAMS, format="json")
    assert answer.cookies["connectly_click"].value
    assert "no-store" in answer["Cache-Control"] or "private" in answer["Cache-Control"]
    del browser.cookies["sessionid"]
    assert_delivered(sandbox, buy(browser))


@pytest.mark.parametrize("claim", ["pk", "text"])
def test_a_jwt_that_no_database_is_asked_about(
    sandbox: Sandbox, ana: User, claim: str
) -> None:
    token = AccessToken()
    token["user_id"] = ana.pk if claim == "pk" else str(ana.pk)
    client = with_header(f"Bearer {token}")
    land(client, shop="/stateless")
    assert Attribution.objects.get().user == ana
    assert_delivered(sandbox, buy(client, shop="/stateless"))


def test_a_jwt_of_another_systems_user(sandbox: Sandbox) -> None:
    token = AccessToken()
    token["user_id"] = "auth0|5f7c8ec7c33c6c004bbafe82"
    client = with_header(f"Bearer {token}")
    click = land(client, shop="/stateless")
    assert Attribution.objects.get().user_id is None
    lost = buy(client, shop="/stateless")
    assert Conversion.objects.get(order_id=lost.number).reason == Reason.NOT_ATTRIBUTED
    assert_delivered(sandbox, buy(client, shop="/stateless", connectly=click))


def test_a_stateless_customer_and_the_same_user_are_one(ana: User, rf: Any) -> None:
    token = AccessToken()
    token["user_id"] = str(ana.pk)
    client = with_header(f"Bearer {token}")
    answer = client.post("/stateless/landed/", PARAMS, format="json")
    request = rf.get("/")
    request.COOKIES = {key: cookie.value for key, cookie in answer.cookies.items()}
    request.user = type("TokenUser", (), {"pk": str(ana.pk), "is_authenticated": True})
    Attribution.objects.update(user=None)
    row = outbox.record(make_purchase("1"), request=request, user=ana)
    assert row.state == State.PENDING


@pytest.mark.parametrize("params", [{}, [], [PARAMS], {"cnct_tracking_id": None}])
def test_a_landing_that_is_none_is_no_error(params: Any) -> None:
    assert land(by_token(), params) == ""
    assert not Attribution.objects.exists()


def test_an_order_without_a_click_is_recorded_as_such() -> None:
    order = buy(by_jwt())
    row = Conversion.objects.get(order_id=order.number)
    assert (row.state, row.reason) == (State.SKIPPED, Reason.NOT_ATTRIBUTED)


def test_a_token_that_somebody_made_up_costs_the_order_nothing() -> None:
    order = buy(guest(), connectly="made-up")
    row = Conversion.objects.get(order_id=order.number)
    assert (row.state, row.reason) == (State.SKIPPED, Reason.INVALID)
