"""Thirty days of a shop: campaigns, clicks, and orders in every state.

The orders are recorded and sent by the same functions as in a shop, to a sandbox of
their own. Then their times are moved into the past.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.test import override_settings
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.attribution.binding import write_token
from connectly_tracking.conf import DEFAULT_BUSINESS, conf
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import MAX_CRASHES, claim
from connectly_tracking.delivery.run import Run
from connectly_tracking.models import (
    UPSTREAM,
    Attribution,
    CampaignName,
    Circuit,
    Conversion,
    DeliveryAttempt,
    State,
)
from connectly_tracking.sandbox import Sandbox
from example_project.shop.models import Order
from example_project.shop.tracking import purchase

from .plan import (
    AD_NAMES,
    ADS,
    CAMPAIGNS,
    CURRENCIES,
    NAMES,
    WINDOW,
    Plan,
    plans_until,
    visits_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED: Final = 30
SENT_FOR: Final = timedelta(days=7)


@dataclass(slots=True)
class Filled:
    """The rows that were recorded, by their primary keys."""

    rows: dict[int, Plan] = field(default_factory=dict)

    def of(self, *ends: str) -> list[int]:
        return [pk for pk, plan in self.rows.items() if plan.end in ends]


def fill() -> dict[str, int]:
    """Fill them once. Returns the number of orders by state."""
    if not Attribution.objects.filter(sendout_id__in=CAMPAIGNS).exists():
        business = conf.BUSINESS_ID
        key = conf.API_KEY.reveal()
        with Sandbox(business_id=business, api_key=key) as sandbox:
            _fill(sandbox)
    states = Conversion.objects.order_by("state").values_list("state", flat=True)
    return dict(Counter(states))


def _fill(sandbox: Sandbox) -> None:
    chance = random.Random(SEED)  # noqa: S311 - the same every time
    plans = plans_until(chance, timezone.now())
    _name()
    Attribution.objects.bulk_create(visits_until(chance, timezone.now()), 200)
    filled = Filled()
    with _settings(sandbox.url):
        with transaction.atomic():  # hundreds of commits take a slow disk a minute
            for plan in plans:
                row = _record(plan)
                filled.rows[row.pk] = plan
                if plan.answers:
                    sandbox.behave(list(_then_ok(plan)), order_id=row.order_id)
        _deliver(filled)
    _shift(chance, filled)


def _name() -> None:
    for campaign, (name, *counts) in zip(CAMPAIGNS, NAMES, strict=True):
        upstream = dict(zip(UPSTREAM, counts, strict=True))
        CampaignName.objects.create(id=campaign, name=name, **upstream)
    for ad, name in zip(ADS, AD_NAMES, strict=True):
        CampaignName.objects.create(id=ad, kind=CampaignName.Kind.AD, name=name)


@contextmanager
def _settings(url: str) -> Iterator[None]:
    """Settings with which old orders are sent, and only to our own sandbox."""
    changed = {
        "BASE_URL": url,
        "SEND": True,
        "STRICT": False,
        "CONSENT": None,
        "RECORD_UNATTRIBUTED": True,
        "ATTRIBUTION_WINDOW": WINDOW,
        "MAX_EVENT_AGE": None,
        # No worker is woken for an order that is held.
        "HOLD": 0.001,
    }
    with _changed(**changed):
        yield


@contextmanager
def _changed(**changes: Any) -> Iterator[None]:
    with override_settings(CONNECTLY_TRACKING=settings.CONNECTLY_TRACKING | changes):
        yield


def _record(plan: Plan) -> Conversion:
    order = Order.objects.place_all(plan.pieces)
    if plan.click is not None:
        order.currency = CURRENCIES[CAMPAIGNS.index(plan.click.sendout_id)]
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
            return outbox.record(event, token=write_token(uuid4()))
    with _changed(SEND=plan.end != "sending_off"):
        row = outbox.record(event, attribution=plan.click)
    if plan.end == "cancelled":
        (row,) = outbox.cancel(order.number)
    elif plan.end == "consent_withdrawn":
        with transaction.atomic():
            Conversion.objects.filter(pk=row.pk).mark_withdrawn()
    return row


def _deliver(filled: Filled) -> None:
    """First the orders that succeed, then each of the others alone, so that its failure
    does not look like an outage.
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
    """Claim it so many times, as workers do that die before they settle it."""
    for _ in range(times):
        due = timezone.now() - timedelta(seconds=1)
        Conversion.objects.filter(pk=pk).update(due_at=due)
        claim(Run.begin(), DEFAULT_BUSINESS, 1)


def _shift(chance: random.Random, filled: Filled) -> None:
    """Move the times of rows and attempts to when they would have been."""
    rows = Conversion.objects.in_bulk(list(filled.rows))
    attempts: dict[int, list[DeliveryAttempt]] = {}
    for attempt in DeliveryAttempt.objects.filter(conversion__in=rows).order_by(
        "started_at"
    ):
        attempts.setdefault(attempt.conversion_id, []).append(attempt)
    for pk, plan in filled.rows.items():
        row = rows[pk]
        # An order that expires was recorded a week late.
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
        if row.ended_at is not None:
            row.ended_at = row.recorded_at + (at - row.recorded_at) / 2
        if row.cancelled_at is not None:
            row.cancelled_at = plan.at + timedelta(minutes=20)
        if row.state == State.PENDING:
            row.due_at = max(at, timezone.now() + timedelta(hours=1))
        elif row.state == State.SENDING:
            row.due_at = timezone.now() + timedelta(
                hours=1
            )  # so that it stays so while the demo runs
    Conversion.objects.bulk_update(
        rows.values(),
        ["recorded_at", "delivered_at", "ended_at", "cancelled_at", "due_at"],
        200,
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
