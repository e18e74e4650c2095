"""Each arrow changes the rows that it is for, and no other."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import transaction
from django.utils import timezone

from connectly_tracking import outbox, reports
from connectly_tracking.api.verdicts import Outcome, Verdict
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import claim
from connectly_tracking.delivery.run import Run
from connectly_tracking.delivery.send import Result
from connectly_tracking.delivery.settle import Settlement
from connectly_tracking.models import Conversion, DbNow, Reason, State

from .conftest import make_purchase

if TYPE_CHECKING:
    from connectly_tracking.models import Attribution

pytestmark = pytest.mark.django_db


def test_a_withdrawal_stops_what_waits_and_notes_what_is_being_sent(
    click: Attribution,
) -> None:
    sent, sent_and_cancelled = [
        outbox.record(make_purchase(name), attribution=click) for name in "AB"
    ]
    assert claim(Run.begin(), "default", 2) is not None
    outbox.cancel("B")
    (cancelled,) = outbox.cancel("B")
    pending = outbox.record(make_purchase("C"), attribution=click)
    without_click = outbox.record(make_purchase("D"))
    with transaction.atomic():
        assert Conversion.objects.all().mark_withdrawn() == 2
    for row in (sent, sent_and_cancelled, pending, without_click):
        row.refresh_from_db()
    assert (pending.state, pending.reason, pending.body, pending.due_at) == (
        State.SKIPPED,
        Reason.CONSENT_WITHDRAWN,
        "",
        None,
    )
    assert (without_click.state, without_click.reason, without_click.payload) == (
        State.SKIPPED,
        Reason.CONSENT_WITHDRAWN,
        "",
    )
    assert (sent.state, sent_and_cancelled.state) == (State.SENDING, State.SENDING)
    assert sent.reason == sent_and_cancelled.reason == Reason.CONSENT_WITHDRAWN
    assert sent.cancelled_at is None
    assert sent.body
    assert sent_and_cancelled.cancelled_at == cancelled.cancelled_at


@pytest.mark.parametrize("is_retried", [True, False])
def test_what_was_being_sent_at_a_withdrawal_ends_by_it(
    click: Attribution, is_retried: bool
) -> None:
    withdrawn, cancelled = [
        outbox.record(make_purchase(name), attribution=click) for name in "AB"
    ]
    assert claim(Run.begin(), "default", 2) is not None
    with transaction.atomic():
        Conversion.objects.filter(pk=withdrawn.pk).mark_withdrawn()
    outbox.cancel("B")
    if is_retried:
        Conversion.objects.all().mark_pending(60)
    Conversion.objects.update(due_at=DbNow(-1))
    assert deliver() == {State.SKIPPED: 2}
    withdrawn.refresh_from_db()
    cancelled.refresh_from_db()
    assert (withdrawn.reason, withdrawn.body, withdrawn.cancelled_at) == (
        Reason.CONSENT_WITHDRAWN,
        "",
        None,
    )
    assert (cancelled.reason, bool(cancelled.body)) == (Reason.CANCELLED, True)


def test_what_was_being_sent_at_a_withdrawal_cannot_be_sent_again(
    click: Attribution,
) -> None:
    outbox.record(make_purchase(), attribution=click)
    assert claim(Run.begin(), "default", 1) is not None
    with transaction.atomic():
        Conversion.objects.all().mark_withdrawn()
    Conversion.objects.all().mark_rejected(Reason.REFUSED)
    assert Conversion.objects.get().body == ""
    assert not Conversion.objects.all().replayable().exists()


def test_what_was_being_sent_at_a_withdrawal_does_not_wait(click: Attribution) -> None:
    outbox.record(make_purchase(), attribution=click)
    assert claim(Run.begin(), "default", 1) is not None
    with transaction.atomic():
        Conversion.objects.all().mark_withdrawn()
    Conversion.objects.all().mark_pending(3600)
    assert deliver() == {State.SKIPPED: 1}


def test_what_was_being_sent_at_a_withdrawal_is_not_said_to_wait_and_does_not_expire(
    click: Attribution,
) -> None:
    placed = timezone.now() - timedelta(days=6)
    outbox.record(make_purchase(event_time=placed), attribution=make_old(click, placed))
    assert claim(Run.begin(), "default", 1) is not None
    with transaction.atomic():
        Conversion.objects.all().mark_withdrawn()
    Conversion.objects.all().mark_pending(60)
    Conversion.objects.update(event_time=placed - timedelta(days=2))
    outbox.pause("default", detail="stocktaking")
    deliver()
    row = Conversion.objects.get()
    assert (row.state, row.reason) == (State.PENDING, Reason.CONSENT_WITHDRAWN)
    said = reports.explain(row.order_id)
    assert said.startswith(f"Order {row.order_id} was not reported: the customer with")


def make_old(click: Attribution, placed: datetime) -> Attribution:
    click.captured_at = placed
    click.save()
    return click


@pytest.mark.parametrize("is_late", [True, False])
def test_what_is_confirmed_after_a_withdrawal_counts(
    click: Attribution, is_late: bool
) -> None:
    row = outbox.record(make_purchase(), attribution=click)

    run = Run.begin()
    batch = claim(run, "default", 1)
    assert batch is not None
    with transaction.atomic():
        assert Conversion.objects.all().mark_withdrawn() == 0
    if is_late:
        Conversion.objects.update(due_at=DbNow(-1))
        assert deliver() == {State.SKIPPED: 1}
    now = timezone.now()
    result = Result(
        row=batch.rows[0],
        verdict=Verdict(outcome=Outcome.CONFIRMED, status_code=200),
        started_at=now,
        finished_at=now,
    )
    assert Settlement(run, batch).write([result])
    row.refresh_from_db()
    assert (row.state, row.reason, row.cancelled_at) == (State.DELIVERED, "", None)
    day = timedelta(days=1)
    (campaign,) = reports.campaigns(now - day, now + day)
    assert (campaign.orders, campaign.confirmed) == (1, 1)
    assert campaign.revenue == {row.currency: row.value}


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.INTERNAL])
def test_a_replay_begins_anew(click: Attribution, reason: Reason) -> None:
    """The notes about an order stay; how its delivery ended does not."""
    row = outbox.record(make_purchase(), attribution=click)
    past = timezone.now() - timedelta(hours=1)
    Conversion.objects.update(
        state=State.REJECTED,
        reason=reason,
        detail="words",
        due_at=None,
        cancelled_at=past,
        replayed_at=past,
        attempts=3,
        unconfirmed=2,
        crashes=1,
    )
    assert Conversion.objects.all().mark_replayed() == 1
    row.refresh_from_db()
    assert (row.state, row.reason, row.detail) == (State.PENDING, "", "words")
    assert (row.attempts, row.unconfirmed, row.crashes) == (3, 0, 0)
    assert row.cancelled_at is None
    assert row.replayed_at is not None
    assert row.replayed_at > past
    assert Conversion.objects.filter(due_at__lte=DbNow()).exists()
    assert Conversion.objects.all().mark_replayed() == 0


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.INTERNAL])
@pytest.mark.parametrize("crashed", [True, False])
@pytest.mark.parametrize("then", ["mark_delivered", "mark_replayed"])
def test_what_comes_later_keeps_only_the_notes_about_the_order(
    click: Attribution, reason: Reason, crashed: bool, then: str
) -> None:
    row = outbox.record(make_purchase(), attribution=click)
    Conversion.objects.update(detail="A line was left out.")
    if crashed:
        Conversion.objects.all().mark_crashed()
    else:
        Conversion.objects.all().mark_rejected(reason)
    assert getattr(Conversion.objects.all(), then)() == 1
    row.refresh_from_db()
    assert (row.reason, row.detail) == ("", "" if crashed else "A line was left out.")
