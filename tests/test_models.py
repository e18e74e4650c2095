from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from connectly_tracking.api.verdicts import Outcome
from connectly_tracking.models import (
    Circuit,
    Conversion,
    DbNow,
    DeliveryAttempt,
    EventName,
    Reason,
    State,
    local_time,
    moment,
)

pytestmark = pytest.mark.django_db


def test_the_migrations_are_complete() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.parametrize("seconds", [0, 0.5, 90, -3600])
@pytest.mark.parametrize("zone", ["UTC", "America/Sao_Paulo", "Asia/Kolkata"])
def test_the_databases_clock_is_the_hosts_whatever_the_time_zone(
    settings: Any, seconds: float, zone: str
) -> None:
    settings.TIME_ZONE = zone
    Circuit.objects.create(business="x", changed_at=DbNow(seconds))
    stored = Circuit.objects.get().changed_at
    assert abs(stored.timestamp() - time.time() - seconds) < 5
    assert Circuit.objects.filter(changed_at__lte=DbNow(seconds + 1)).exists()
    assert not Circuit.objects.filter(changed_at__lte=DbNow(seconds - 60)).exists()


def test_the_databases_clock_compares_with_times_that_django_wrote() -> None:
    Circuit.objects.create(business="x", changed_at=timezone.now())
    assert Circuit.objects.filter(changed_at__lte=DbNow(1)).exists()
    assert not Circuit.objects.filter(changed_at__gte=DbNow(1)).exists()
    whole = timezone.now().replace(microsecond=0) - timedelta(seconds=1)
    Circuit.objects.update(changed_at=whole)
    assert Circuit.objects.filter(changed_at__lte=DbNow()).exists()


def test_a_time_read_back_can_be_compared_for_equality() -> None:
    Circuit.objects.create(business="x", changed_at=DbNow())
    read = Circuit.objects.get().changed_at
    if read.microsecond:  # Django itself writes a whole second without a fraction
        assert Circuit.objects.filter(changed_at=read).exists()


@pytest.mark.sqlite
@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "Asia/Kolkata"])
def test_without_use_tz_columns_hold_local_time(settings: Any, zone: str) -> None:
    settings.USE_TZ = False
    settings.TIME_ZONE = zone
    Circuit.objects.create(business="x", changed_at=DbNow())
    stored = Circuit.objects.get().changed_at
    assert stored.tzinfo is None
    assert abs((stored - timezone.now()).total_seconds()) < 5
    assert moment(time.time()).tzinfo is None
    assert abs((moment(time.time()) - timezone.now()).total_seconds()) < 5


@pytest.mark.sqlite
@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "Asia/Kolkata"])
def test_a_database_may_hold_the_times_of_a_zone_of_its_own(
    monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setattr(connection, "timezone", ZoneInfo(zone))
    Circuit.objects.create(business="x", changed_at=DbNow())
    stored = Circuit.objects.get().changed_at
    assert abs(stored.timestamp() - time.time()) < 5
    assert Circuit.objects.filter(
        changed_at__gte=timezone.now() - timedelta(seconds=5)
    ).exists()
    assert Circuit.objects.filter(
        changed_at__lte=timezone.now() + timedelta(seconds=5)
    ).exists()


def test_a_local_time_is_in_the_current_zone_and_a_naive_one_stays() -> None:
    noon = datetime(2025, 5, 5, 12, tzinfo=UTC)
    with timezone.override("America/Sao_Paulo"):
        assert f"{local_time(noon):%H:%M}" == "09:00"
        assert local_time(noon.replace(tzinfo=None)) == noon.replace(tzinfo=None)


def test_a_moment_is_aware_where_columns_are() -> None:
    assert moment(1746480000) == datetime(2025, 5, 5, 21, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "due"),
    [
        (State.PENDING, False),
        (State.SENDING, False),
        (State.DELIVERED, True),
        (State.SKIPPED, True),
    ],
)
def test_a_row_is_due_or_final_and_never_both(state: State, due: bool) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Conversion.objects.create(
            event_name=EventName.PURCHASE,
            key="k",
            state=state,
            recorded_at=timezone.now(),
            due_at=timezone.now() if due else None,
        )


def test_the_poll_uses_the_index_whatever_the_history() -> None:
    now = timezone.now()
    Conversion.objects.bulk_create(
        Conversion(
            event_name=EventName.PURCHASE,
            key=f"{number:064d}",
            state=State.DELIVERED if number % 500 else State.PENDING,
            recorded_at=now,
            due_at=None if number % 500 else now,
        )
        for number in range(5000)
    )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE connectly_tracking_conversion")
    plan = Conversion.objects.due(["default"]).order_by("due_at")[:64].explain()
    assert "connectly_conversion_due" in plan


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("149.970000", "149.97 USD"),
        ("5", "5.00 USD"),
        ("0.123450", "0.12345 USD"),
        (None, ""),
    ],
)
def test_an_amount_is_shown_as_a_person_writes_it(
    value: str | None, shown: str
) -> None:
    decimal = None if value is None else Decimal(value)
    assert Conversion(value=decimal, currency="USD").amount == shown


def test_every_reason_has_a_sentence_of_its_own() -> None:
    clauses = [str(reason.label) for reason in Reason]
    assert len(set(clauses)) == len(clauses)
    for clause in clauses:  # in the middle of a sentence
        assert not clause.endswith(".")
        assert clause[0].islower() or clause.startswith("Connectly")


def test_an_attempt_can_hold_every_outcome_of_the_wire() -> None:
    assert DeliveryAttempt.Outcome.values == [outcome.value for outcome in Outcome]


def test_releasing_takes_the_attempt_back() -> None:
    row = Conversion.objects.create(
        event_name=EventName.PURCHASE,
        key="k",
        state=State.PENDING,
        recorded_at=timezone.now(),
        due_at=DbNow(),
    )
    rows = Conversion.objects.filter(pk=row.pk)
    rows.update(attempts=F("attempts") + 3)
    rows.release()
    assert rows.get().attempts == 2
