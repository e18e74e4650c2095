from __future__ import annotations

import io
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.utils import timezone

from connectly_tracking import outbox, retention
from connectly_tracking.attribution import bind_order, capture
from connectly_tracking.delivery import deliver
from connectly_tracking.models import Attribution, Conversion, DeliveryAttempt, State
from connectly_tracking.tasks import deliver_due, prune_old

from .conftest import LANDING, make_click, make_purchase

if TYPE_CHECKING:
    from django.test import RequestFactory

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
DAY = 86400


def age(days: int) -> None:
    Conversion.objects.update(recorded_at=timezone.now() - timedelta(days=days))


def test_what_is_old_and_final_goes_with_its_attempts(sandbox: Sandbox) -> None:
    outbox.record(make_purchase(), attribution=make_click())
    deliver()
    age(91)
    assert retention.prune() == (0, 1)
    assert not DeliveryAttempt.objects.exists()
    assert Attribution.objects.count() == 1


def test_the_command_says_how_many_went(sandbox: Sandbox) -> None:
    outbox.record(make_purchase(), attribution=make_click())
    deliver()
    age(91)
    for options, words in [
        ({"dry_run": True}, "To be deleted: conversions 1, clicks 0.\n"),
        ({}, "Deleted: conversions 1, clicks 0.\n"),
        ({}, "Deleted: conversions 0, clicks 0.\n"),
    ]:
        out = io.StringIO()
        call_command("connectly_prune", stdout=out, **options)
        assert out.getvalue() == words


def test_what_waits_is_kept_however_old() -> None:
    outbox.record(make_purchase(), attribution=make_click())
    age(500)
    assert retention.prune() == (0, 0)


def test_what_is_younger_is_kept(sandbox: Sandbox) -> None:
    outbox.record(make_purchase(), attribution=make_click())
    deliver()
    age(89)
    assert retention.prune() == (0, 0)


def test_an_order_is_known_as_long_as_it_could_be_sent_again(
    configure: Any, sandbox: Sandbox
) -> None:
    configure(RETENTION=timedelta(days=1))
    purchase, click = make_purchase(), make_click()
    outbox.record(purchase, attribution=click)
    deliver()
    age(6)
    assert retention.prune() == (0, 0)
    outbox.record(purchase, attribution=click)
    assert not deliver()
    age(8)
    assert retention.prune() == (0, 1)


def test_clicks_are_kept_as_long_as_an_order_could_owe_them(configure: Any) -> None:
    make_click(age=100 * DAY)
    make_click(age=80 * DAY)
    configure(RETENTION=timedelta(days=30), ATTRIBUTION_WINDOW=timedelta(days=90))
    assert retention.prune() == (1, 0)
    configure(ATTRIBUTION_WINDOW=timedelta(days=7))
    assert retention.prune() == (1, 0)


def test_a_click_that_goes_leaves_its_conversion(configure: Any) -> None:
    outbox.record(make_purchase(), attribution=make_click(age=10 * DAY))
    configure(RETENTION=timedelta(days=1), ATTRIBUTION_WINDOW=timedelta(days=1))
    assert retention.prune() == (1, 0)
    row = Conversion.objects.get()
    assert row.attribution is None
    assert row.sendout_id == "send-1"


def test_an_order_without_a_click_is_cleared_and_no_click_revives_it(
    rf: RequestFactory,
) -> None:
    row = outbox.record(make_purchase())
    age(1)
    retention.prune()
    row.refresh_from_db()
    assert row.payload
    age(3)
    retention.prune()
    request = rf.get("/")
    request.session = SessionStore()
    capture(request, {**asdict(LANDING), "attribution_source": "meta_ctwa"})
    assert bind_order(request, row.order_id)
    row.refresh_from_db()
    assert (row.state, row.payload, row.body) == (State.SKIPPED, "", "")


def test_much_goes_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MAX_PRUNED_AT_ONCE", 3)
    for _ in range(10):
        make_click(age=400 * DAY)
    assert retention.prune() == (10, 0)


def test_the_tasks_do_what_their_names_say(sandbox: Sandbox) -> None:
    make_click(age=400 * DAY)
    outbox.record(make_purchase(), attribution=make_click())
    deliver_due()
    assert sandbox.received_count == 1
    prune_old()
    assert Attribution.objects.count() == 1


def test_the_tasks_bear_their_names_and_bounds() -> None:
    assert deliver_due.name == "connectly_tracking.deliver_due"
    assert prune_old.name == "connectly_tracking.prune"
    assert (deliver_due.soft_time_limit, deliver_due.time_limit) == (240, 300)
    assert (deliver_due.acks_late, deliver_due.ignore_result) == (False, True)
