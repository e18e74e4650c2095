"""The campaign report against a slow count in Python, and its edges."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from connectly_tracking import outbox
from connectly_tracking.attribution import bind_order, land
from connectly_tracking.models import (
    Attribution,
    CampaignName,
    Conversion,
    DbNow,
    Reason,
    State,
    key_of,
)
from connectly_tracking.reports import campaigns
from connectly_tracking.reports.campaigns import CampaignReport, CampaignRow

from .conftest import TAGGED, make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import RequestFactory

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
#: The day of a change of clocks in each.
ZONES = ("Europe/Madrid", "America/Santiago", "Asia/Kathmandu", "America/Sao_Paulo")
NOT_CREDITED = {
    "not_attributed",
    "incomplete_click",
    "other_source",
    "outside_window",
    "click_after_order",
    "consent_pending",
    "consent_refused",
    "consent_withdrawn",
    "invalid",
}
MINUTES = st.integers(-9 * 1440, 9 * 1440)
AMOUNTS = st.one_of(
    st.decimals("0", "10000", places=2),
    st.decimals("0", "99", places=6),
    st.decimals("1000000000", "9999999999", places=2),
    # SQLite keeps 15 digits.
    st.integers(10**14, 10**15 - 1).map(lambda digits: Decimal(digits * 1000)),
    st.sampled_from([Decimal("0.1"), Decimal("0.2"), Decimal("99.97"), None]),
)
#: An index holds the first 64 characters of an id.
LONG = "C" * 64
CLICKS = st.tuples(
    MINUTES,
    st.sampled_from(["", "A", "B", LONG, f"{LONG}D", f"{LONG}E"]),
    st.sampled_from(["x", "y", "z", f"{LONG}D"]),
    st.booleans(),
    st.sampled_from([None, 7, 8]),
)
ORDERS = st.tuples(
    MINUTES,
    st.integers(0, 9),
    AMOUNTS,
    st.sampled_from(["USD", "COP", "CLP"]),
    st.sampled_from([*State]),
    st.sampled_from([*Reason]),
    st.booleans(),
)


SUMS = ("clicks", "orders", "revenue", "confirmed", "waiting", "unreported")
DETAILS = ("buyers", "repeats", "too_late_for_meta", "median")


class RandomHistory(TestCase):
    @given(
        clicks=st.lists(CLICKS, min_size=1, max_size=8),
        orders=st.lists(ORDERS, max_size=14),
        zone=st.sampled_from(ZONES),
        by=st.sampled_from(["campaign", "ad", "day", "page", "business"]),
        span=st.tuples(MINUTES, st.integers(0, 8 * 1440)),
    )
    @settings(max_examples=60, deadline=None)
    def test_it_counts_as_one_would_by_hand(
        self, clicks: Any, orders: Any, zone: str, by: Any, span: Any
    ) -> None:
        with override_settings(TIME_ZONE=zone):
            stored = [self.click(n, *it) for n, it in enumerate(clicks)]
            for number, order in enumerate(orders):
                self.order(number, stored, *order)
            since = (NOON + timedelta(minutes=span[0])).astimezone(ZoneInfo(zone))
            until = since + timedelta(minutes=span[1])
            expected = by_hand(since, until, by)
            self.check(campaigns(since, until, by=by), expected, SUMS)
            detailed = CampaignReport(since, until).rows(by, detailed=True)
            self.check(detailed, expected, (*SUMS, *DETAILS))

    def click(
        self,
        number: int,
        at: int,
        campaign: str,
        ad: str,
        other: bool,
        user_id: int | None,
    ) -> Attribution:
        return Attribution.objects.create(
            cnct_tracking_id=f"track-{number}",
            sendout_id=campaign,
            ad_id=ad,
            attribution_source="meta_ctwa",
            business="br" if other else "default",
            user_id=user_id,
            page=f"/{ad}/",
            reportable=True,
            captured_at=NOON + timedelta(minutes=at, microseconds=number * 1000),
        )

    def order(
        self,
        number: int,
        clicks: list[Attribution],
        at: int,
        chosen: int,
        value: Decimal | None,
        currency: str,
        state: str,
        reason: str,
        is_cancelled: bool,
    ) -> None:
        waits = state in (State.PENDING, State.SENDING)
        row = Conversion(
            event_name="Purchase" if number % 7 else "ViewContent",
            business="default",
            key=key_of(f"ORD-{number}"),
            order_id=f"ORD-{number}",
            event_time=NOON + timedelta(minutes=at),
            recorded_at=NOON,
            value=value,
            currency=currency if value is not None else "",
            state=state,
            reason="" if waits or state == State.DELIVERED else reason,
            due_at=DbNow() if waits else None,
            cancelled_at=NOON if is_cancelled else None,
        )
        if chosen < len(clicks):
            row.credit(clicks[chosen])
            row.business = clicks[chosen].business
        row.save()

    def check(
        self,
        rows: list[CampaignRow],
        expected: list[CampaignRow],
        names: tuple[str, ...],
    ) -> None:
        assert {
            row.key: tuple(getattr(row, name) for name in names) for row in rows
        } == {row.key: tuple(getattr(row, name) for name in names) for row in expected}


def by_hand(since: datetime, until: datetime, by: str) -> list[CampaignRow]:
    rows = dict[str, CampaignRow]()

    def key(of: Any, at: datetime) -> str:
        keys: dict[str, Callable[[], str]] = {
            "campaign": lambda: of.sendout_id,
            "ad": lambda: of.ad_id,
            "day": lambda: timezone.localtime(at).date().isoformat(),
            "page": lambda: of.page if hasattr(of, "page") else of.attribution.page,
            "business": lambda: of.business,
        }
        return keys[by]()

    def plus(money: dict[str, Decimal], row: Conversion) -> dict[str, Decimal]:
        if row.value is None:
            return money
        return money | {row.currency: money.get(row.currency, Decimal(0)) + row.value}

    for click in Attribution.objects.all():
        if since <= click.captured_at < until:
            group = key(click, click.captured_at)
            rows.setdefault(group, CampaignRow(key=group)).clicks += 1
    buyers = set[Any]()
    history = list(Conversion.objects.select_related("attribution"))
    for order in history:
        at = order.event_time
        assert at is not None
        if order.event_name != "Purchase" or not order.clicked_at:
            continue
        if not since <= at < until:
            continue
        group = key(order, at)
        row = rows.setdefault(group, CampaignRow(key=group))
        if order.cancelled_at is None and order.reason not in NOT_CREDITED:
            row.orders += 1
            row.revenue = plus(row.revenue, order)
            row.buyers += (group, order.attribution_id) not in buyers
            buyers.add((group, order.attribution_id))
            row.repeats += any(came_before(order, other) for other in history)
            seconds = math.ceil((at - order.clicked_at).total_seconds())
            row.too_late_for_meta += seconds > 7 * 86_400
            step = 60 if seconds < 7200 else 3600 if seconds < 172_800 else 86_400
            row.delays[max(seconds - seconds % step, 0)] += 1
        if order.state == "delivered":
            row.confirmed += 1
        elif order.state in ("pending", "sending"):
            row.waiting += 1
        else:
            count, money = row.unreported.get(order.reason, (0, {}))
            row.unreported[order.reason] = count + 1, plus(money, order)
    return [*rows.values()]


def came_before(order: Conversion, other: Conversion) -> bool:
    """Whether the customer had bought that other order before."""
    ours, theirs = order.attribution, other.attribution
    if other.event_name != "Purchase" or other.cancelled_at or not ours or not theirs:
        return False
    assert order.event_time is not None
    assert other.event_time is not None
    is_same_user = ours.user_id is not None and ours.user_id == theirs.user_id
    return other.event_time < order.event_time and (ours == theirs or is_same_user)


@pytest.mark.django_db
class TestRows:
    def test_cents_add_up_exactly(self) -> None:
        click = make_click(age=3600)
        for number, value in enumerate(["0.1"] * 10 + ["0.7", "123456789012.34"]):
            outbox.record(
                make_purchase(f"ORD-{number}", value=value), attribution=click
            )
        (row,) = this_day()
        assert row.revenue == {"USD": Decimal("123456789014.04")}
        assert (row.key, row.clicks, row.orders, row.waiting) == ("send-1", 1, 12, 12)

    def test_the_largest_amounts_add_up_exactly(self) -> None:
        click = make_click(age=3600)
        for number in range(10):
            outbox.record(make_purchase(number, value="9" * 18), attribution=click)
        outbox.record(make_purchase("c", value="1234567890.5"), attribution=click)
        (row,) = this_day()
        assert row.revenue == {
            "USD": Decimal(10 * (10**18 - 1)) + Decimal("1234567890.5")
        }

    def test_the_end_is_not_in_it(self) -> None:
        outbox.record(make_purchase("1"), attribution=make_click())
        at = Conversion.objects.get().event_time
        assert at is not None
        second = timedelta(seconds=1)
        if timezone.is_naive(at):
            at = timezone.make_aware(at)
        assert sum(row.orders for row in campaigns(at, at + second)) == 1
        assert sum(row.orders for row in campaigns(at - second, at)) == 0
        assert campaigns(at, at) == []

    def test_a_cancelled_order_earns_nothing(self) -> None:
        click = make_click()
        outbox.record(make_purchase("1"), attribution=click)
        outbox.cancel("1")
        outbox.record(make_purchase("2"), attribution=click)
        Conversion.objects.filter(order_id="2").mark_delivered()
        outbox.cancel("2")
        (row,) = this_day()
        assert (row.orders, row.revenue, row.confirmed) == (0, {}, 1)
        assert row.unreported == {"cancelled": (1, {"USD": Decimal("99.97")})}

    def test_an_order_without_a_click_belongs_to_no_campaign(self) -> None:
        outbox.record(make_purchase())
        assert this_day() == []

    def test_a_campaign_and_an_ad_have_names_and_counts(self) -> None:
        outbox.record(make_purchase(), attribution=make_click())
        assert [row.name for row in this_day()] == [""]
        CampaignName.objects.create(id="send-1", name="Black Friday", sent=900)
        CampaignName.objects.create(id="120210", kind="ad", name="Mug, video")
        (row,) = this_day()
        assert (row.name, row.upstream) == ("Black Friday", {"sent": 900})
        assert [row.name for row in this_day(by="ad")] == ["Mug, video"]

    def test_one_business_can_be_chosen(self, configure: Any, settings: Any) -> None:
        own = settings.CONNECTLY_TRACKING
        configure(BUSINESSES={"br": {k: own[k] for k in ("BUSINESS_ID", "API_KEY")}})
        outbox.record(make_purchase("1"), attribution=make_click())
        outbox.record(make_purchase("2"), attribution=make_click(business="br"))
        assert [row.orders for row in this_day()] == [2]
        assert [row.orders for row in this_day(business="br")] == [1]
        assert this_day(business="mx") == []
        assert {row.key for row in this_day(by="business")} == {"default", "br"}

    def test_the_page_has_more_figures(self) -> None:
        ada = User.objects.create(username="ada")
        first, second = (make_click(age=age, user=ada) for age in (9 * 86_400, 90))
        now = timezone.now().replace(microsecond=0)
        for number, (click, ago) in enumerate(
            [(first, 3600), (second, 0), (second, 0), (make_click(age=200), 80)]
        ):
            at = now - timedelta(seconds=ago)
            outbox.record(make_purchase(number, event_time=at), attribution=click)
        (row,) = CampaignReport(*last_day()).rows(detailed=True)
        assert (row.clicks, row.orders, row.buyers) == (2, 4, 3)
        assert row.rate == 1.5  # an order counts when it is placed, whenever the click
        assert row.repeats == 2
        assert row.too_late_for_meta == 1
        assert row.median == timedelta(minutes=1)

    def test_it_costs_few_statements(self) -> None:
        for number in range(3):
            outbox.record(make_purchase(number), attribution=make_click())
        with CaptureQueriesContext(connection) as queries:
            this_day()
        assert len(queries) == 3
        with CaptureQueriesContext(connection) as queries:
            CampaignReport(*last_day()).rows(detailed=True)
        # PostgreSQL is also told not to compile one of them.
        reading = [
            it for it in queries if it["sql"].strip().startswith(("SELECT", "WITH"))
        ]
        assert len(reading) == 4


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((NOON, NOON - timedelta(seconds=1)), "until must not be earlier than since"),
        ((NOON.replace(tzinfo=None), NOON), "since must be an aware datetime"),
        ((NOON, NOON.replace(tzinfo=None)), "until must be an aware datetime"),
        ((NOON.date(), NOON), "since must be a datetime, not date"),
        (("2026-11-01", NOON), "since must be a datetime, not str"),
        ((NOON, None), "until must be a datetime, not NoneType"),
    ],
)
def test_a_period_that_is_none_is_refused(arguments: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        campaigns(*arguments)


@pytest.mark.parametrize("by", ["", "week", None, "sendout_id", ["ad"]])
def test_only_five_groups_are_known(by: Any) -> None:
    with pytest.raises(ValueError, match="by must be one of campaign, ad, day, page"):
        campaigns(NOON, NOON, by=by)


@pytest.mark.django_db
@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_the_ends_of_time_are_a_period(year: int) -> None:
    outbox.record(make_purchase(), attribution=make_click())
    at = NOON.replace(year=year)
    since, until = sorted([at, timezone.now() + timedelta(days=1)])
    assert sum(row.orders for row in campaigns(since, until, by="day")) == (year < 2026)


@pytest.mark.django_db
def test_a_click_that_came_late_brings_the_money_along(rf: RequestFactory) -> None:
    assert outbox.record(make_purchase()).value is None
    request = rf.get(TAGGED.replace("ad_id=120210", "ad_id="))
    request.session = SessionStore()
    land(request)
    bind_order(request, "ORD-7821")
    row = Conversion.objects.get()
    assert row.reason == Reason.INCOMPLETE_CLICK
    assert (row.value, row.currency) == (Decimal("99.97"), "USD")


def last_day() -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now - timedelta(days=1), now + timedelta(minutes=1)


def this_day(**options: Any) -> list[CampaignRow]:
    return campaigns(*last_day(), **options)
