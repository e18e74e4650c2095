"""A click that travels through a payment provider's metadata."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.sessions.backends.db import SessionStore

from connectly_tracking import attribution, outbox
from connectly_tracking.attribution import make_token
from connectly_tracking.exceptions import InvalidEvent
from connectly_tracking.models import Attribution, Conversion, Reason, State
from connectly_tracking.signals import order_completed

from .conftest import TAGGED, make_purchase, table_refused

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.test import RequestFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def visit(rf: RequestFactory) -> HttpRequest:
    request = rf.get(TAGGED)
    request.session = SessionStore()
    attribution.land(request)
    return request


def test_an_order_is_credited_by_its_token_alone(visit: HttpRequest) -> None:
    order_completed.send(None, purchase=make_purchase(), token=make_token(visit))
    row = Conversion.objects.get()
    assert row.state == State.PENDING
    assert row.attribution == Attribution.objects.get()


def test_it_fits_any_providers_metadata_and_says_nothing(visit: HttpRequest) -> None:
    token = make_token(visit)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", token)
    assert token == make_token(visit)
    for value in ("track-1", "clid-1"):
        assert value not in token


def test_without_a_click_it_is_empty_and_means_none(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.session = SessionStore()
    assert make_token(request) == ""
    assert outbox.record(make_purchase(), token="").reason == Reason.NOT_ATTRIBUTED


def test_a_request_without_a_session_has_none(rf: RequestFactory) -> None:
    assert make_token(rf.get(TAGGED)) == ""


BAD: list[Any] = ["x", "1" * 45, "é" * 45, "0" * 64, 7, b"1", ["1"]]


@pytest.mark.parametrize("token", BAD)
def test_what_is_no_token_is_refused_with_words(token: Any, configure: Any) -> None:
    row = outbox.record(make_purchase(), token=token)
    assert (row.state, row.reason) == (State.SKIPPED, Reason.INVALID)
    assert row.detail.startswith("token: ")
    configure(STRICT=True)
    with pytest.raises(InvalidEvent):
        outbox.record(make_purchase("2"), token=token)


@pytest.mark.parametrize("spoil", ["cut", "longer", "changed", "swapped"])
def test_a_token_that_was_spoilt_on_the_way_is_none(
    visit: HttpRequest, spoil: str
) -> None:
    token = make_token(visit)
    spoilt = {
        "cut": token[:-1],
        "longer": f"{token}A",
        "changed": ("B" if token[5] != "B" else "C").join([token[:5], token[6:]]),
        "swapped": token.swapcase(),
    }[spoil]
    assert outbox.record(make_purchase(), token=spoilt).reason == Reason.INVALID


def test_a_spoilt_token_does_not_matter_where_the_order_is_bound(
    visit: HttpRequest,
) -> None:
    attribution.bind_order(visit, "ORD-7821")
    assert outbox.record(make_purchase(), token="cut").state == State.PENDING


def test_a_token_of_another_installation_is_none(
    visit: HttpRequest, settings: Any
) -> None:
    token = make_token(visit)
    settings.SECRET_KEY = "another"
    assert outbox.record(make_purchase(), token=token).reason == Reason.INVALID
    settings.SECRET_KEY_FALLBACKS = ["tests"]
    assert outbox.record(make_purchase("2"), token=token).state == State.PENDING


def test_a_token_whose_click_was_pruned_is_no_attribution(visit: HttpRequest) -> None:
    token = make_token(visit)
    Attribution.objects.all().delete()
    assert outbox.record(make_purchase(), token=token).reason == Reason.NOT_ATTRIBUTED


def test_a_database_that_fails_harms_no_checkout(
    rf: RequestFactory, caplog: pytest.LogCaptureFixture
) -> None:
    request = rf.get(TAGGED, headers={"Sec-Purpose": "prefetch"})
    request.session = SessionStore()
    attribution.land(request)
    with table_refused("attribution"):
        assert make_token(request) == ""
    assert "token_not_made" in caplog.text
