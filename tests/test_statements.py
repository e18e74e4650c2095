"""Statements whose SQL is kept, beside those that the ORM writes."""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, connection
from django.db.models.signals import post_save, pre_save
from django.utils import timezone

from connectly_tracking.attribution.binding import binding_of
from connectly_tracking.models import (
    Attribution,
    Conversion,
    DbNow,
    EventName,
    OrderAttribution,
    Reason,
    State,
    insert_row,
    key_of,
    row_of,
)

from .conftest import LANDING, make_click

if TYPE_CHECKING:
    from django.db.models import Model

pytestmark = pytest.mark.django_db


def make_row(order_id: str, **fields: Any) -> Conversion:
    """A conversion with a value of each kind."""
    given: dict[str, Any] = {
        "event_name": EventName.PURCHASE,
        "key": key_of(order_id),
        "order_id": "ORD-\N{SNOWMAN} 100 %s",
        "event_time": timezone.now().replace(microsecond=123456),
        "value": Decimal("99.970000"),
        "currency": "USD",
        "state": State.SKIPPED,
        "reason": Reason.INVALID,
        "attribution_id": uuid.UUID(int=7),
        "user_id": 9,
        "attribution_window": timedelta(days=28, microseconds=5),
        "recorded_at": timezone.now().replace(microsecond=0),
        "lease_token": uuid.UUID(int=8),
        "attempts": 3,
    }
    return Conversion(**given | fields)


def stored(row: Model) -> dict[str, Any]:
    """The row's columns as the database has them, without what is its own."""
    with connection.cursor() as cursor:
        table, key = row._meta.db_table, row._meta.pk
        assert key is not None
        value = key.get_db_prep_save(row.pk, connection)
        cursor.execute(f"SELECT * FROM {table} WHERE id = %s", [value])
        names = [column[0] for column in cursor.description]
        (found,) = cursor.fetchall()
    own = {"id", "key"}
    return {
        name: each for name, each in zip(names, found, strict=True) if name not in own
    }


@pytest.mark.parametrize("use_tz", [True, False])
def test_a_row_is_written_as_save_writes_it(settings: Any, use_tz: bool) -> None:
    settings.USE_TZ = use_tz
    now = timezone.now()
    saved, inserted = (
        make_row(name, event_time=now, recorded_at=now) for name in ("saved", "ours")
    )
    saved.save()
    assert insert_row(inserted, using="default")
    assert stored(inserted) == stored(saved)
    assert type(inserted.pk) is int
    assert (inserted._state.adding, inserted._state.db) == (False, "default")


def test_a_column_that_is_not_given_has_its_default() -> None:
    click = Attribution.from_landing(LANDING)  # the page has one of the database's own
    assert insert_row(click, using="default")
    kept = Attribution.objects.get()
    assert (kept.pk, kept.page, kept.landing) == (click.pk, "", LANDING)


def test_an_expression_is_the_databases() -> None:
    row = make_row("ORD-1", state=State.PENDING, due_at=DbNow(60), reason="")
    assert insert_row(row, using="default")
    due_at = Conversion.objects.get().due_at
    assert due_at is not None
    assert timedelta(seconds=50) < due_at - timezone.now() < timedelta(seconds=70)


def test_a_row_that_is_there_stays_and_is_said() -> None:
    make_row("ORD-1", attempts=1).save()
    again = make_row("ORD-1", attempts=2)
    assert not insert_row(again, using="default")
    assert again.pk is None
    assert Conversion.objects.get().attempts == 1


@pytest.mark.skipif(connection.vendor == "mysql", reason="errors are warnings there")
def test_a_row_that_breaks_a_constraint_is_refused() -> None:
    with pytest.raises(IntegrityError, match="connectly_conversion_due_or_final"):
        make_row("ORD-1", state=State.PENDING).insert(using="default")


@pytest.mark.parametrize("is_new", [True, False])
def test_who_listens_for_saved_rows_hears_of_it(is_new: bool) -> None:
    if not is_new:
        make_row("ORD-1").save()
    heard: list[Any] = []

    def listen(signal: Any, sender: Any, **sent: Any) -> None:
        heard.append((signal is post_save, sender, sent))

    row = make_row("ORD-1")
    for signal in (pre_save, post_save):
        signal.connect(listen)
    try:
        assert row.insert(using="default") == is_new
    finally:
        for signal in (pre_save, post_save):
            signal.disconnect(listen)
    sent = {"instance": row, "raw": False, "using": "default", "update_fields": None}
    before = (False, Conversion, sent)
    after = (True, Conversion, sent | {"created": True})
    assert heard == ([before, after] if is_new else [before])


@pytest.mark.parametrize("has_row", [True, False])
def test_a_binding_is_read_as_the_orm_reads_it(has_row: bool) -> None:
    click = make_click(user_id=9, page="/shoes/")
    OrderAttribution.objects.create(
        key=key_of("ORD-1"), order_id="ORD-1", attribution=click
    )
    if not has_row:
        Attribution.objects.filter(pk=click.pk)._raw_delete("default")
    found, _ = binding_of("ORD-1", None, uuid.uuid4())
    by_orm = OrderAttribution.objects.select_related("attribution").get()
    assert found is not None
    assert not found._state.adding
    assert plain(found) == plain(by_orm)
    assert plain(found.attribution) == plain(by_orm.attribution)
    assert (found.attribution is None) == (not has_row)


def test_a_row_is_what_its_columns_say() -> None:
    row = make_row("ORD-1")
    row.save()
    columns = [field.column for field in Conversion._meta.concrete_fields]
    with connection.cursor() as cursor:
        quoted = ", ".join([connection.ops.quote_name(str(name)) for name in columns])
        cursor.execute(f"SELECT {quoted} FROM connectly_tracking_conversion")
        values = cursor.fetchone()
    read = row_of(Conversion, values, using="default")
    assert plain(read) == plain(Conversion.objects.get())


def plain(row: Model | None) -> dict[str, Any]:
    values = vars(row) if row else {}
    return {name: value for name, value in values.items() if name != "_state"}
