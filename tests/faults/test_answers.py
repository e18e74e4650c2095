"""One request meets trouble: what its row says, and what becomes of the others."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest
from django.db import connection
from django.urls import reverse

from connectly_tracking.conf import conf
from connectly_tracking.delivery.claim import MAX_CRASHES
from connectly_tracking.models import (
    Circuit,
    Conversion,
    DeliveryAttempt,
    Reason,
    State,
)
from connectly_tracking.sandbox import Sandbox
from tests.tools.proxy import Proxy

from . import agent
from .audit import audit
from .crew import PATIENT, hire
from .listener import Heard
from .process import until

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client

    from .shop import Shop

WORDS: Final = "400, as scripted"
UNKNOWN: Final = "<bdi>unknown</bdi>"  # of an attempt, in the admin


@pytest.fixture(autouse=True)
def _pauses_are_short(shop: Shop) -> None:
    shop.configure(**PATIENT, PROBE_SCHEDULE=[0.5])


def outcomes(order_id: str) -> list[str]:
    attempts = DeliveryAttempt.objects.filter(conversion__order_id=order_id)
    return [*attempts.values_list("outcome", flat=True)]


def first_attempt(order_id: str) -> DeliveryAttempt:
    return DeliveryAttempt.objects.filter(conversion__order_id=order_id)[0]


def seconds(attempt: DeliveryAttempt) -> float:
    assert attempt.finished_at is not None
    return (attempt.finished_at - attempt.started_at).total_seconds()


def spoil(shop: Shop, *behaviours: str) -> list[str]:
    """Orders of which each first try meets one of these; and others between them."""
    spoilt = []
    for behaviour in behaviours:
        order_id, _plain = shop.orders(2)
        shop.sandbox.behave(behaviour, times=1, order_id=order_id)
        spoilt.append(order_id)
    return spoilt


def audit_all(shop: Shop, *, again: int) -> None:
    """Everything arrived, and so many requests were sent again with the same bytes."""
    audit(shop, in_flight=again)
    sent = Counter(received.order_id for received in shop.sandbox.requests)
    assert sum(sent.values()) - len(sent) == again
    assert not Conversion.objects.exclude(state=State.DELIVERED).exists()


def test_f23_an_order_that_is_refused_is_rejected_with_the_words_and_alone(
    shop: Shop, admin_client: Client
) -> None:
    told = shop.orders(21)
    refused = told[10]
    shop.sandbox.behave("400", order_id=refused)
    hire(shop)
    shop.until_quiet()
    audit(shop, told, unsent=[refused])
    row = Conversion.objects.get(order_id=refused)
    assert (row.state, row.reason, row.attempts) == (State.REJECTED, "refused", 1)
    assert WORDS in first_attempt(refused).detail
    assert WORDS in page(admin_client, refused)
    assert not Circuit.objects.exclude(paused_until=None).exists()


def page(admin_client: Client, order_id: str) -> str:
    """What an operator sees of an order's row."""
    pk = Conversion.objects.get(order_id=order_id).pk
    url = reverse("admin:connectly_tracking_conversion_change", args=[pk])
    return admin_client.get(url).content.decode()


def test_f24_what_was_counted_and_not_answered_is_unknown_and_sent_again(
    shop: Shop, admin_client: Client
) -> None:
    shop.configure(READ_TIMEOUT=1.5)
    (order_id,) = spoil(shop, "delay:10")
    (plain,) = shop.orders()
    hire(shop)
    shop.until_quiet()
    audit_all(shop, again=1)
    counted = [event for event in shop.sandbox.events if event.order_id == order_id]
    assert len(counted) == 2
    assert outcomes(order_id) == ["unknown", "confirmed"]
    assert UNKNOWN in page(admin_client, order_id)
    assert UNKNOWN not in page(admin_client, plain)


def test_f25_an_answer_that_drips_ends_at_the_deadline(shop: Shop) -> None:
    shop.configure(DEADLINE=1, READ_TIMEOUT=0.9)
    # Each byte comes in time; all of them would take many seconds.
    spoilt = spoil(shop, "drip:0.2", "drip-body:0.2")
    hire(shop)
    shop.until_quiet()
    audit_all(shop, again=2)
    for order_id in spoilt:
        assert outcomes(order_id) == ["unknown", "confirmed"]
        assert conf.DEADLINE <= seconds(first_attempt(order_id)) < 3 * conf.DEADLINE


def test_f26_what_is_reset_is_unknown_and_what_is_refused_is_not_sent(
    shop: Shop,
) -> None:
    spoilt = spoil(shop, "reset-before", "reset-after", "half-body")
    with Proxy(shop.sandbox.url) as link:
        link.behave("refuse")
        shop.configure(BASE_URL=link.url)
        hire(shop)
        until(lambda: DeliveryAttempt.objects.exclude(finished_at=None).exists())
        link.behave("pass")
        shop.until_quiet()
    audit_all(shop, again=3)
    for order_id in spoilt:
        *refused, broken, last = outcomes(order_id)
        assert set(refused) <= {"not_sent"}
        assert (broken, last) == ("unknown", "confirmed")
    not_sent = DeliveryAttempt.objects.filter(outcome="not_sent")
    assert not_sent.exists()
    for attempt in not_sent:
        assert attempt.detail.startswith("ConnectionRefusedError: ")


def test_f28_a_redirect_is_not_followed(shop: Shop) -> None:
    told = shop.orders(10)
    key = shop.environ["CONNECTLY_API_KEY"]
    with Sandbox(business_id="elsewhere", api_key=key) as elsewhere:
        url = elsewhere.url.replace("127.0.0.1", "localhost")
        shop.sandbox.behave([f"redirect:{url}/there", f"302:{url}/there", "ok"])
        hire(shop)
        shop.until_quiet()
        assert elsewhere.received_count == 0
    audit_all(shop, again=2)
    audit(shop, told, in_flight=2)
    redirected = DeliveryAttempt.objects.filter(outcome="configuration")
    assert {attempt.status_code for attempt in redirected} == {302, 307}


class TestF29:
    """A row that breaks our own code."""

    @pytest.fixture(autouse=True)
    def _five_tries_are_soon_over(self, shop: Shop) -> None:
        shop.configure(RETRY_SCHEDULE=[0.2])

    def assert_worn_out(self, order_id: str) -> None:
        row = Conversion.objects.get(order_id=order_id)
        assert (row.state, row.reason) == (State.REJECTED, Reason.INTERNAL)
        assert outcomes(order_id) == ["internal"] * MAX_CRASHES

    def assert_left_alone(self, others: list[str]) -> None:
        """They were sent at once, while it waited for its second try."""
        rows = Conversion.objects.filter(order_id__in=others)
        assert {row.attempts for row in rows} == {1}

    def test_is_rejected_after_five_tries_and_its_neighbours_are_sent(
        self, shop: Shop
    ) -> None:
        told = shop.orders(20)
        bad = told.pop(10)
        agent.install(shop, bad)
        hire(shop)
        shop.until_quiet()
        audit(shop, told, unsent=[bad])
        self.assert_worn_out(bad)
        self.assert_left_alone(told)

    def test_alone_it_stops_no_order_that_comes_later(
        self, shop: Shop, tmp_path: Path
    ) -> None:
        (bad,) = shop.orders()
        agent.install(shop, bad)
        heard = Heard(shop, tmp_path)
        hire(shop)
        shop.until_quiet()
        told = shop.orders(5)
        shop.until_quiet()
        audit(shop, told, unsent=[bad])
        self.assert_worn_out(bad)
        assert heard.signals(at_least=1) == [f"failed {bad} internal"]

    @pytest.mark.sqlite
    def test_may_be_one_whose_body_is_no_text(self, shop: Shop) -> None:
        told = shop.orders(20)
        bad = told.pop(10)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE connectly_tracking_conversion SET body = CAST(body AS BLOB)"
                " WHERE order_id = %s",
                [bad],
            )
        hire(shop)
        shop.until_quiet()
        audit(shop, told, unsent=[bad])
        self.assert_worn_out(bad)
        self.assert_left_alone(told)
