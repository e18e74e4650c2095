"""Each state and reason, reached as a shop reaches it, and docs/support/reasons.md."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.test import RequestFactory

from connectly_tracking import attribution, outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import MAX_CRASHES, claim
from connectly_tracking.delivery.run import Run
from connectly_tracking.delivery.settle import MAX_UNCONFIRMED
from connectly_tracking.models import (
    OVERDUE,
    Circuit,
    Conversion,
    DbNow,
    Reason,
    State,
)
from connectly_tracking.reports import explain
from connectly_tracking.signals import order_cancelled, order_completed

from .conftest import TAGGED, make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectly_tracking.models import Attribution
    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
DAY = 86400
ORDER = "7821"
TEXT = (Path(__file__).parent.parent / "docs/support/reasons.md").read_text()
#: What a row of the documentation says: state, reason, sentence, what to do.
DOCUMENTED = [
    tuple(cell.strip() for cell in row)
    for row in re.findall(r"^\| `?(\w+)`? \|(.*?)\|(.*?)\|(.*?)\|$", TEXT, re.M)
    if row[0] != "state"
]
CASES: list[Case] = []


class Case(NamedTuple):
    """How an order comes to be where it is; without a state it has no row."""

    state: State | None
    reason: Reason | None
    reach: Callable[[Shop], None]


class Shop:
    """What a shop does, and what it meets with."""

    def __init__(self, sandbox: Sandbox, configure: Callable[..., None]) -> None:
        self.sandbox = sandbox
        self.configure = configure
        self.visitor = RequestFactory().get("/")
        self.visitor.session = SessionStore()

    def land(self, url: str = TAGGED) -> None:
        landing = RequestFactory().get(url)
        landing.session = self.visitor.session
        attribution.land(landing)

    def bind(self) -> None:
        attribution.bind_order(self.visitor, ORDER)

    def pay(
        self, order_id: str = ORDER, click: Attribution | None = None, **fields: Any
    ) -> None:
        order_completed.send(
            sender=Shop,
            purchase=make_purchase(order_id, **fields),
            request=self.visitor,
            attribution=click,
        )

    def cancel(self) -> None:
        order_cancelled.send(sender=Shop, order_id=ORDER)

    def meet(self, behaviour: str, orders: int) -> None:
        """Other orders are sent, and are answered like this."""
        self.sandbox.behave(behaviour)
        for number in range(orders):
            self.pay(f"other-{number}")
        deliver()


def case(
    state: State | None = None, reason: Reason | None = None
) -> Callable[[Callable[[Shop], None]], None]:
    def add(reach: Callable[[Shop], None]) -> None:
        CASES.append(Case(state, reason, reach))

    return add


def let_time_pass() -> None:
    """All waits and leases are over."""
    Conversion.objects.filter(due_at__gt=DbNow()).update(due_at=DbNow(-1))
    Circuit.objects.update(paused_until=DbNow(-1))


@case(State.PENDING)
def recorded(shop: Shop) -> None:
    shop.land()
    shop.pay()


@case(State.PENDING)
def late_for_want_of_a_worker(shop: Shop) -> None:
    shop.land()
    shop.pay()
    Conversion.objects.update(due_at=DbNow(-2 * OVERDUE))


@case(State.PENDING)
def switched_off(shop: Shop) -> None:
    shop.land()
    shop.pay()
    shop.configure(SEND=False)


@case(State.PENDING)
def late_for_want_of_a_key(shop: Shop) -> None:
    shop.land()
    shop.pay()
    shop.configure(API_KEY=None)
    Conversion.objects.update(due_at=DbNow(-2 * OVERDUE))


@case(State.PENDING)
def paused_for_the_configuration(shop: Shop) -> None:
    shop.land()
    shop.meet("401", orders=1)
    shop.pay()


@case(State.PENDING)
def paused_for_metas_token(shop: Shop) -> None:
    shop.land()
    shop.meet("400:(#190) Invalid OAuth access token", orders=1)
    shop.pay()


@case(State.PENDING)
def paused_for_refusals(shop: Shop) -> None:
    shop.land()
    shop.meet("400:no", orders=5)
    shop.pay()


@case(State.PENDING)
def paused_for_an_outage(shop: Shop) -> None:
    shop.land()
    shop.meet("500", orders=5)
    shop.pay()


@case(State.PENDING)
def paused_by_a_limit(shop: Shop) -> None:
    shop.land()
    shop.meet("429:60", orders=1)
    shop.pay()


@case(State.PENDING)
def paused_by_a_colleague(shop: Shop) -> None:
    shop.land()
    shop.pay()
    outbox.pause("default", detail="stocktaking")


@case(State.SENDING)
def in_a_workers_hands(shop: Shop) -> None:
    shop.land()
    shop.pay()
    claim(Run.begin(), "default", 1)


@case(State.DELIVERED)
def confirmed(shop: Shop) -> None:
    shop.land()
    shop.pay()
    deliver()


@case(State.DELIVERED)
def cancelled_too_late(shop: Shop) -> None:
    shop.land()
    shop.pay()
    deliver()
    shop.cancel()


@case(State.SKIPPED, Reason.NOT_ATTRIBUTED)
def no_click(shop: Shop) -> None:
    shop.pay()


@case(State.SKIPPED, Reason.INCOMPLETE_CLICK)
def a_link_that_was_cut(shop: Shop) -> None:
    shop.land(TAGGED.replace("&ctwa_clid=clid-1", ""))
    shop.pay()


@case(State.SKIPPED, Reason.OTHER_SOURCE)
def another_source(shop: Shop) -> None:
    shop.land(TAGGED.replace("meta_ctwa", "newsletter"))
    shop.pay()


@case(State.SKIPPED, Reason.OUTSIDE_WINDOW)
def an_old_click(shop: Shop) -> None:
    shop.pay(click=make_click(age=39 * DAY + 60))


@case(State.SKIPPED, Reason.CLICK_AFTER_ORDER)
def a_click_after_the_order(shop: Shop) -> None:
    shop.land()
    shop.pay(event_time=int(time.time()) - DAY)


@case(State.SKIPPED, Reason.CONSENT_PENDING)
def nobody_asked_yet(shop: Shop) -> None:
    shop.configure(CONSENT=lambda request: None)
    shop.land()
    shop.pay()


@case(State.SKIPPED, Reason.CONSENT_REFUSED)
def no_consent(shop: Shop) -> None:
    shop.configure(CONSENT=lambda request: False)
    shop.land()
    shop.pay()


@case(State.SKIPPED, Reason.CONSENT_WITHDRAWN)
def consent_taken_back(shop: Shop) -> None:
    answers: dict[str, bool] = {"given": True}
    shop.configure(CONSENT=lambda request: answers["given"])
    shop.land()
    shop.pay()
    answers["given"] = False
    attribution.consent_changed(shop.visitor)


@case(State.SKIPPED, Reason.INVALID)
def no_currency(shop: Shop) -> None:
    shop.land()
    shop.pay(currency="XXZ")


@case(State.SKIPPED, Reason.SENDING_OFF)
def in_staging(shop: Shop) -> None:
    shop.configure(SEND=False)
    shop.land()
    shop.pay()


@case(State.SKIPPED, Reason.CANCELLED)
def cancelled_in_time(shop: Shop) -> None:
    shop.land()
    shop.pay()
    shop.cancel()


@case(State.EXPIRED, Reason.EXPIRED)
def waited_too_long(shop: Shop) -> None:
    click = make_click(age=9 * DAY)
    shop.pay(click=click, event_time=int(time.time()) - 8 * DAY)
    deliver()


@case(State.REJECTED, Reason.REFUSED)
def refused(shop: Shop) -> None:
    shop.sandbox.behave("400:(#100) Invalid parameter")
    shop.land()
    shop.pay()
    deliver()


@case(State.REJECTED, Reason.UNCONFIRMED)
def never_confirmed(shop: Shop) -> None:
    shop.sandbox.behave("unconfirmed")
    shop.land()
    shop.pay()
    for _ in range(MAX_UNCONFIRMED):
        deliver()
        let_time_pass()


@case(State.REJECTED, Reason.INTERNAL)
def stopped_each_worker(shop: Shop) -> None:
    shop.land()
    shop.pay()
    for _ in range(MAX_CRASHES + 1):
        claim(Run.begin(), "default", 1)
        let_time_pass()
    deliver()


@case()
def never_completed(shop: Shop) -> None:
    shop.land()


@case()
def another_spelling(shop: Shop) -> None:
    shop.pay(f"ORD-{ORDER}")


@case()
def bound_and_not_completed(shop: Shop) -> None:
    shop.land()
    shop.bind()


@case()
def without_a_click_where_that_leaves_no_row(shop: Shop) -> None:
    shop.configure(RECORD_UNATTRIBUTED=False)
    shop.pay()


def timeless(sentence: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d [A-Z]{3}\b", "(time)", sentence)


def test_every_state_and_every_reason_has_a_case() -> None:
    assert {it.state for it in CASES} == {*State, None}
    assert {it.reason for it in CASES} == {*Reason, None}


def test_the_documentation_has_a_row_for_each_case_and_no_other() -> None:
    assert len(DOCUMENTED) == len(CASES)
    assert all(advice for *_, advice in DOCUMENTED)


@pytest.mark.parametrize(
    ("reached", "cells"),
    [*zip(CASES, DOCUMENTED, strict=False)],
    ids=lambda it: it.reach.__name__ if isinstance(it, Case) else "",
)
def test_it_is_reached_and_explained_as_documented(
    reached: Case, cells: tuple[str, ...], sandbox: Sandbox, configure: Any
) -> None:
    reached.reach(Shop(sandbox, configure))
    row = Conversion.objects.filter(order_id=ORDER).first()
    state, reason, sentence, _advice = cells
    reason = reason.strip("`")
    if reached.state is None or row is None:
        assert (reached.state, row, state, reason) == (None, None, "none", "")
    else:
        assert (row.state, row.reason) == (reached.state, reached.reason or "")
        assert (state, reason) == (row.state, row.reason)
    assert timeless(explain(ORDER)) == timeless(sentence)
