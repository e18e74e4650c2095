"""Thirty days of a shop's life: campaigns, clicks, orders, and what became of each.

Everything goes through the same functions as in a shop: orders are recorded, and sent
to a sandbox of their own. Then the clock's part is moved into the past.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from django.conf import settings
from django.db import router, transaction
from django.http import HttpRequest
from django.test import override_settings
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.attribution import token
from connectly_tracking.conf import DEFAULT_BUSINESS, conf
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import MAX_CRASHES, claim
from connectly_tracking.delivery.settle import MAX_UNCONFIRMED
from connectly_tracking.landing import Landing
from connectly_tracking.models import (
    Attribution,
    Circuit,
    Conversion,
    DeliveryAttempt,
    State,
)
from connectly_tracking.sandbox import Sandbox
from example_project.shop.models import Order, Product
from example_project.shop.tracking import purchase

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SEED: Final = 30
DAYS: Final = 30
ORDERS: Final = 480
CAMPAIGNS: Final = tuple(
    str(uuid5(NAMESPACE_URL, f"https://shop.example/campaign/{number}"))
    for number in range(3)
)
ADS: Final = tuple(f"1202148392048{number:05}" for number in range(17_260, 17_272))
WINDOW: Final = timedelta(days=28)
SENT_FOR: Final = timedelta(days=7)

#: How many of a thousand orders come to which end.
SHARES: Final = {
    "delivered": 620,
    "late": 50,
    "rejected": 24,
    "expired": 18,
    "not_attributed": 160,
    "outside_window": 38,
    "cancelled": 30,
    "consent_refused": 28,
    "incomplete_click": 16,
    "other_source": 10,
    "invalid": 6,
}
PENDING: Final = 7  # of the last hours, besides
#: So rare that chance might leave them out.
RARE: Final = (
    "click_after_order",
    "consent_pending",
    "consent_withdrawn",
    "sending_off",
    "unconfirmed",
    "internal",
)
#: Where the ads of each campaign lead to.
PAGES: Final = ("/", "/product/grinder-01/", "/product/kettle-goose/")
META: Final = (
    "(#100) Invalid parameter: ctwa_clid does not belong to this WhatsApp account",
    "(#2804019) The click id has expired and can no longer be attributed",
    "(#100) Missing permission: the dataset is not shared with this business",
    "(#2804050) The ad that was clicked has been deleted",
)
BUSY: Final = "504:upstream request timeout"
TROUBLES: Final = (
    ("502:upstream connect error or disconnect/reset before headers",),
    ("500:internal error", BUSY),
    (BUSY,),
    ("close",),
    ("garbage",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An order to be: when, what, and what is to become of it."""

    at: datetime
    end: str
    pieces: Sequence[tuple[Product, int]]
    click: Attribution | None
    answers: tuple[str, ...] = ()  # before the honest one


@dataclass(slots=True)
class Filled:
    """What was written down, by the plan's end."""

    rows: dict[int, Plan] = field(default_factory=dict)

    def of(self, *ends: str) -> list[int]:
        return [pk for pk, plan in self.rows.items() if plan.end in ends]


def fill() -> dict[str, int]:
    """Does nothing where it was done before. Returns the number of orders by state."""
    if not Attribution.objects.filter(sendout_id__in=CAMPAIGNS).exists():
        business = conf.BUSINESS_ID
        key = conf.API_KEY.reveal()
        with Sandbox(business_id=business, api_key=key) as sandbox:
            _fill(sandbox)
    states = Conversion.objects.order_by("state").values_list("state", flat=True)
    return dict(Counter(states))


def _fill(sandbox: Sandbox) -> None:
    chance = random.Random(SEED)  # noqa: S311 - the same every time
    plans = _plans(chance, timezone.now())
    filled = Filled()
    with _settings(sandbox.url):
        for plan in plans:
            row = _record(plan)
            filled.rows[row.pk] = plan
            if plan.answers:
                sandbox.behave(list(_then_ok(plan)), order_id=row.order_id)
        _deliver(filled)
    _shift(chance, filled)


@contextmanager
def _settings(url: str) -> Iterator[None]:
    """So that what is long ago is sent, and to nobody but our own sandbox."""
    changed = {
        "BASE_URL": url,
        "SEND": True,
        "STRICT": False,
        "CONSENT": None,
        "RECORD_UNATTRIBUTED": True,
        "ATTRIBUTION_WINDOW": WINDOW,
        "MAX_EVENT_AGE": None,
        # So that no worker is woken for what is sent from here.
        "HOLD": 0.001,
    }
    with _changed(**changed):
        yield


@contextmanager
def _changed(**changes: Any) -> Iterator[None]:
    with override_settings(CONNECTLY_TRACKING=settings.CONNECTLY_TRACKING | changes):
        yield


def _plans(chance: random.Random, now: datetime) -> list[Plan]:
    products = list(Product.objects.order_by("sku"))
    ends = chance.choices(list(SHARES), list(SHARES.values()), k=ORDERS)
    plans = [_plan(chance, end, _moment(chance, end, now), products) for end in ends]
    for number in range(PENDING):
        # Late enough that the next try is still to come, however long one looks on.
        at = now - timedelta(minutes=95 + 17 * number)
        plan = _plan(chance, "pending", at, products)
        plans.append(replace(plan, answers=(BUSY,) * 6))
    plans += [_plan(chance, end, _moment(chance, end, now), products) for end in RARE]
    plans.append(_plan(chance, "sending", now - timedelta(minutes=90), products))
    return sorted(plans, key=lambda plan: plan.at)


def _moment(chance: random.Random, end: str, now: datetime) -> datetime:
    """More of them lately, and in the evening."""
    most = DAYS - 1.5  # what is older than 30 days is never sent
    least = 9.0 if end == "expired" else 0.3
    age = least + (most - least) * chance.random() ** 1.25
    at = now - timedelta(days=age)
    evening = at.replace(hour=min(23, int(chance.triangular(6, 24, 20))))
    return evening if now - evening > timedelta(hours=6) else at


def _plan(
    chance: random.Random, end: str, at: datetime, products: Sequence[Product]
) -> Plan:
    chosen = chance.sample(products, k=chance.choice((1, 1, 1, 2, 2, 3)))
    answers: tuple[str, ...] = ()
    if end == "rejected":
        answers = (f"400:{chance.choice(META)}",)
    elif end == "late":
        answers = chance.choice(TROUBLES)
    elif end == "unconfirmed":
        answers = ("garbage",) * MAX_UNCONFIRMED
    return Plan(
        at=at,
        end=end,
        pieces=[(product, chance.choice((1, 1, 1, 2))) for product in chosen],
        click=_click(chance, end, at),
        answers=answers,
    )


def _click(chance: random.Random, end: str, at: datetime) -> Attribution | None:
    if end in ("not_attributed", "consent_refused", "consent_pending"):
        return None
    number = min(int(chance.expovariate(0.28)), len(ADS) - 1)
    campaign = number * len(CAMPAIGNS) // len(ADS)
    landing = Landing(
        cnct_tracking_id=_opaque(chance),
        sendout_id=CAMPAIGNS[campaign],
        ctwa_clid=f"ARA{_opaque(chance)}",
        ad_id="" if end == "incomplete_click" else ADS[number],
        attribution_source="newsletter" if end == "other_source" else "meta_ctwa",
    )
    ago = min(timedelta(minutes=chance.lognormvariate(3.4, 1.6)), WINDOW / 2)
    if end == "outside_window":
        ago = WINDOW + timedelta(days=chance.uniform(1, 12))
    elif end == "click_after_order":
        ago = -timedelta(minutes=50)
    return Attribution.from_landing(
        landing,
        id=UUID(int=chance.getrandbits(128), version=4),
        page=PAGES[campaign],
        captured_at=at - ago,
    )


def _record(plan: Plan) -> Conversion:
    order = Order.objects.place_all(plan.pieces)
    order.placed_at = order.paid_at = plan.at
    if plan.end == "cancelled":
        order.cancelled_at = plan.at + timedelta(minutes=20)
    order.save()
    if plan.click is not None:
        plan.click.save(force_insert=True)
    event = purchase(order)
    if plan.end == "invalid":
        event = replace(event, currency="US$")
    if plan.end == "consent_refused":
        with _changed(CONSENT=lambda _: False):
            return outbox.record(event, request=HttpRequest())
    if plan.end == "consent_pending":
        with _changed(CONSENT=lambda _: None):
            return outbox.record(event, token=token.write(uuid4()))
    with _changed(SEND=plan.end != "sending_off"):
        row = outbox.record(event, attribution=plan.click)
    if plan.end == "cancelled":
        (row,) = outbox.cancel(order.number)
    elif plan.end == "consent_withdrawn":
        with transaction.atomic():
            Conversion.objects.filter(pk=row.pk).mark_withdrawn()
    return row


def _deliver(filled: Filled) -> None:
    """First what goes well; then what does not, each by itself, so that no trouble of
    one looks like an outage to all.
    """
    rows = Conversion.objects.filter(state=State.PENDING)
    now = timezone.now() - timedelta(seconds=1)  # for every clock, the database's too
    old = filled.of("expired")
    odd = filled.of("late", "rejected", "pending", "unconfirmed")
    held = filled.of("internal", "sending")
    rows.update(due_at=now)
    rows.filter(pk__in=[*old, *odd, *held]).update(due_at=now + timedelta(days=1))
    deliver()
    rows.filter(pk__in=old).update(due_at=now)
    with _changed(MAX_EVENT_AGE=SENT_FOR):
        deliver()
    for pk in odd:
        plan = filled.rows[pk]
        tries = len(plan.answers) + (plan.end == "late")
        for _ in range(tries):
            rows.filter(pk=pk).update(due_at=now)
            deliver()
            Circuit.objects.all().delete()
    for pk in held:
        _hold(pk, 1 if filled.rows[pk].end == "sending" else MAX_CRASHES + 2)


def _hold(pk: int, times: int) -> None:
    """As by so many workers that take it and are not heard of again."""
    business, using = DEFAULT_BUSINESS, router.db_for_write(Conversion)
    for _ in range(times):
        due = timezone.now() - timedelta(seconds=1)
        Conversion.objects.filter(pk=pk).update(due_at=due)
        claim(business, 1, lease=conf.LEASE, using=using)


def _shift(chance: random.Random, filled: Filled) -> None:
    """Move what the clock wrote to when it would have been."""
    rows = Conversion.objects.in_bulk(list(filled.rows))
    attempts: dict[int, list[DeliveryAttempt]] = {}
    for attempt in DeliveryAttempt.objects.filter(conversion__in=rows).order_by(
        "started_at"
    ):
        attempts.setdefault(attempt.conversion_id, []).append(attempt)
    for pk, plan in filled.rows.items():
        row = rows[pk]
        # Whoever was told of an order so late had been away for a week.
        late = SENT_FOR + timedelta(hours=30) if plan.end == "expired" else timedelta(0)
        row.recorded_at = plan.at + late
        at = row.recorded_at + timedelta(seconds=chance.uniform(0.2, 2))
        for number, attempt in enumerate(attempts.get(pk, ())):
            ended = attempt.finished_at
            attempt.finished_at = ended and at + (ended - attempt.started_at)
            attempt.started_at = at
            if row.state == State.DELIVERED:
                row.delivered_at = attempt.finished_at
            at += timedelta(seconds=_wait(number) * chance.uniform(0.85, 1.15))
        if row.cancelled_at is not None:
            row.cancelled_at = plan.at + timedelta(minutes=20)
        if row.state == State.PENDING:
            row.due_at = max(at, timezone.now() + timedelta(hours=1))
        elif row.state == State.SENDING:
            row.due_at = timezone.now() + timedelta(hours=1)  # for whoever looks on
    Conversion.objects.bulk_update(
        rows.values(), ["recorded_at", "delivered_at", "cancelled_at", "due_at"], 200
    )
    DeliveryAttempt.objects.bulk_update(
        [attempt for some in attempts.values() for attempt in some],
        ["started_at", "finished_at"],
        200,
    )


def _then_ok(plan: Plan) -> Iterator[str]:
    yield from plan.answers
    if plan.end == "late":
        yield "ok"


def _wait(number: int) -> float:
    schedule = conf.RETRY_SCHEDULE
    return schedule[min(number, len(schedule) - 1)]


def _opaque(chance: random.Random) -> str:
    return f"{chance.getrandbits(96):024x}-{chance.getrandbits(64):016x}"
