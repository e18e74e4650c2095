"""What was lost is found, recorded once, and counted by what came of it."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.utils import timezone

from connectly_tracking.backfill import Counts, backfill
from connectly_tracking.models import Conversion, Reason, State
from connectly_tracking.signals import order_completed
from example_project.shop.models import Order, Product

from .conftest import make_click, make_purchase, show_each_step, table_refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from connectly_tracking.events import Purchase

CUSTOMER = "maria@example.com"
SINCE = "2020-01-01"

#: The arguments of the callables below.
asked: list[datetime] = []


def completed_since(since: datetime) -> Iterator[Order]:
    """The shop's orders, each with its customer if there is an account."""
    for order in Order.objects.filter(placed_at__gte=since).order_by("pk").iterator():
        accounts = get_user_model().objects.filter(username=order.email)
        vars(order)["user"] = accounts.first()
        yield order


def broken_since(since: datetime) -> Iterator[Order]:
    yield from completed_since(since)
    raise ZeroDivisionError("with a customer's name")


def nothing_since(since: datetime) -> tuple[()]:
    asked.append(since)
    return ()


def number_since(since: datetime) -> int:
    return 7


def failing_since() -> None:
    """Takes no argument."""


@pytest.fixture
def customer(db: None) -> Any:
    return get_user_model().objects.create_user(CUSTOMER)


def place(*, age: float = 60, email: str = CUSTOMER) -> Order:
    """An order that nobody recorded; ``age`` in seconds."""
    product, _ = Product.objects.get_or_create(sku="mug", defaults={"price": 12})
    order = Order.objects.place(product, quantity=2, email=email)
    order.placed_at = timezone.now() - timedelta(seconds=age)
    order.save(update_fields=["placed_at"])
    return order


def run(name: str = "completed_since", *options: str, **kwargs: Any) -> list[str]:
    """The lines of the outcomes that there were."""
    out = io.StringIO()
    since = [] if any("--since" in word for word in options) else [f"--since={SINCE}"]
    call_command(
        "connectly_backfill",
        f"{__name__}.{name}",
        *since,
        *options,
        **({"stdout": out} | kwargs),
    )
    return outcomes(out)


def outcomes(out: io.StringIO) -> list[str]:
    lines = [line.strip() for line in out.getvalue().splitlines()]
    return [line for line in lines if not line.startswith("0 ")]


def test_what_a_refused_insert_lost_is_found(customer: Any) -> None:
    make_click(age=3600, user=customer)
    order = place()
    with table_refused("connectly_tracking_conversion"):
        order_completed.send(sender=Order, order=order, user=customer)
    assert not Conversion.objects.exists()
    assert run() == ["1 new, pending"]
    row = Conversion.objects.get()
    assert (row.order_id, row.state) == (order.number, State.PENDING)
    assert row.event_time == order.placed_at.replace(microsecond=0)


def test_a_second_run_records_nothing_new(customer: Any) -> None:
    make_click(age=3600, user=customer)
    place()
    place(email="")
    none = f"1 skipped, not_attributed: {Reason.NOT_ATTRIBUTED.label}"
    assert run() == ["1 new, pending", none]
    before = list(Conversion.objects.values())
    assert run() == ["2 already recorded"]
    assert list(Conversion.objects.values()) == before


def test_an_order_that_was_skipped_is_mended_once_its_click_is_known(
    customer: Any,
) -> None:
    place()
    run()
    make_click(age=3600, user=customer)
    assert run() == ["1 updated: skipped before, now pending"]
    assert run() == ["1 already recorded"]
    assert Conversion.objects.get().state == State.PENDING


@pytest.mark.parametrize(
    ("age", "reason"),
    [(0, Reason.CLICK_AFTER_ORDER), (30 * 86400, Reason.OUTSIDE_WINDOW)],
)
def test_a_click_that_may_not_be_credited_is_not(
    customer: Any, age: float, reason: Reason
) -> None:
    make_click(age=age, user=customer)
    place(age=3600)
    assert run() == [f"1 skipped, {reason}: {reason.label}"]


def test_what_was_placed_too_late_is_passed_over(customer: Any) -> None:
    early, late = place(age=7200), place(age=60)
    until = (late.placed_at - timedelta(minutes=1)).isoformat()
    assert (
        run("completed_since", f"--until={until}")[-1]
        == "1 outside --since and --until"
    )
    assert Conversion.objects.get().order_id == early.number


@pytest.mark.parametrize("use_tz", [True, False])
def test_the_end_may_be_naive_as_the_shops_times_are(
    db: None, settings: Any, use_tz: bool
) -> None:
    settings.USE_TZ = use_tz
    until = datetime.now() - timedelta(minutes=1)  # noqa: DTZ005
    orders = [make_purchase("A"), make_purchase("B", event_time=1)]
    assert backfill(orders, until=until).out_of_range == 1


def test_a_purchase_needs_no_adapter(db: None, configure: Any) -> None:
    configure(ORDER_ADAPTER=None)
    assert backfill([make_purchase()]).skipped == {"not_attributed": 1}


def test_without_an_adapter_an_order_ends_the_run_with_words(
    db: None, configure: Any
) -> None:
    configure(ORDER_ADAPTER=None)
    place()
    with pytest.raises(CommandError, match=r"ORDER_ADAPTER.*or pass a Purchase"):
        run()


def test_an_order_may_be_kept_out_of_the_table(db: None, configure: Any) -> None:
    configure(RECORD_UNATTRIBUTED=False)
    assert backfill([make_purchase()]).skipped == {"not_attributed": 1}
    assert not Conversion.objects.exists()


def test_the_business_may_be_given(db: None, configure: Any) -> None:
    configure(BUSINESSES={"br": {}})
    place()
    run("completed_since", "--business=br")
    assert Conversion.objects.get().business == "br"


def test_the_same_order_of_two_businesses_is_two_orders(
    db: None, configure: Any
) -> None:
    configure(BUSINESSES={"br": {}})
    backfill([make_purchase()])
    assert backfill([make_purchase()], business="br").known == 0
    assert backfill([make_purchase()], business="br").known == 1


def test_a_dry_run_counts_the_same_and_leaves_nothing(
    transactional_db: None, celery_broker: Redis
) -> None:
    user = get_user_model().objects.create_user(CUSTOMER)
    known, mendable = place(email=""), place()
    for order in (known, mendable):
        order_completed.send(sender=Order, order=order)
    make_click(age=3600, user=user)
    for email in (CUSTOMER, CUSTOMER, ""):
        place(email=email)
    before = list(Conversion.objects.order_by("pk").values())

    *dry, said = run("completed_since", "--dry-run")
    assert said == "A dry run: nothing was written."
    assert list(Conversion.objects.order_by("pk").values()) == before
    assert celery_broker.llen("celery") == 0

    assert dry == run()
    assert [line.split()[0] for line in dry] == ["2", "1", "1", "1"]
    assert celery_broker.llen("celery") == 1


def test_one_bad_order_stops_no_other_and_is_named_without_its_values(
    customer: Any, configure: Any
) -> None:
    configure(ORDER_ADAPTER=f"{__name__}.adapted")
    make_click(age=3600, user=customer)
    _, bad, _ = place(), place(email="bad"), place()
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match=r"^1 of 3 orders failed") as error:
        run(stdout=out, stderr=err)
    assert error.value.returncode == 1
    assert outcomes(out) == ["2 new, pending", "1 failed"]
    assert err.getvalue() == f"pk:{bad.pk}: ProgrammingError\n".replace(
        "ProgrammingError", _refusal()
    )


def _refusal() -> str:
    """What the database calls a table that does not exist."""
    return "OperationalError" if connection.vendor == "sqlite" else "ProgrammingError"


def adapted(order: Order) -> Purchase:
    if order.email == "bad":
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")
    return make_purchase(order.number, event_time=order.placed_at)


def test_what_the_database_refuses_is_counted_as_failed(db: None) -> None:
    failed: list[str] = []
    with table_refused("connectly_tracking_conversion"):
        counts = backfill(
            [make_purchase("A"), make_purchase("B")],
            on_failure=lambda name, _: failed.append(name),
        )
    assert (counts.failed, failed) == (2, ["A", "B"])


def test_an_order_without_an_id_is_no_new_row_on_each_run(db: None) -> None:
    counts = backfill([make_purchase(None), make_purchase("")])
    assert counts.failed == counts.total == 2
    assert not Conversion.objects.exists()


def test_what_cannot_be_reported_is_recorded_with_the_reason(db: None) -> None:
    orders = [make_purchase("A", value=-1), make_purchase("B", event_time="now")]
    until = datetime.now(UTC) + timedelta(days=1)
    assert backfill(orders, until=until).skipped == {"invalid": 2}


def test_strict_names_the_field_of_an_order_that_cannot_be_reported(
    db: None, configure: Any
) -> None:
    configure(STRICT=True, ORDER_ADAPTER=lambda _: make_purchase(value=-1))
    place()
    err = io.StringIO()
    with pytest.raises(CommandError, match="1 of 1"):
        run(stderr=err)
    assert err.getvalue() == "ORD-7821: InvalidEvent (value)\n"


def test_orders_that_break_off_leave_what_came_before(customer: Any) -> None:
    orders = [place(), place()]
    out = io.StringIO()
    words = f"ended after order {orders[-1].number}: ZeroDivisionError"
    with pytest.raises(CommandError, match=words) as error:
        run("broken_since", stdout=out)
    assert "name" not in str(error.value)
    assert outcomes(out)[0].startswith("2 skipped")
    assert Conversion.objects.count() == 2


def test_orders_that_break_off_at_once_say_so(db: None) -> None:
    with pytest.raises(CommandError, match="ended before the first order"):
        run("broken_since")


def test_a_customer_that_is_gone_costs_the_order_nothing(
    db: None, configure: Any
) -> None:
    class Orphan:
        purchase = make_purchase("A")

        @property
        def user(self) -> Any:
            raise get_user_model().DoesNotExist

    configure(ORDER_ADAPTER=lambda order: order.purchase)
    named = SimpleNamespace(purchase=make_purchase("B"), user="maria")
    assert backfill([Orphan(), named]).skipped == {"not_attributed": 2}


@pytest.mark.postgres
def test_a_queryset_is_streamed(customer: Any) -> None:
    place()
    orders = Order.objects.prefetch_related("lines").order_by("pk")
    assert backfill(orders).total == 1
    assert orders._result_cache is None


@pytest.mark.sqlite
def test_a_queryset_is_read_in_pages(
    customer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectly_tracking.backfill.order.CHUNK", 2)
    placed = [place(age=age).number for age in (10, 50, 30, 40, 20)]
    orders = Order.objects.order_by("placed_at")
    assert backfill(orders).total == 5
    assert orders._result_cache is None
    rows = Conversion.objects.order_by("pk").values_list("order_id", flat=True)
    assert list(rows) == placed
    assert backfill(orders[:3]).known == 3
    assert backfill(Order.objects.none()).total == 0


@pytest.mark.sqlite
def test_a_queryset_does_not_keep_others_from_writing(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("order", "run"):
        monkeypatch.setattr(f"connectly_tracking.backfill.{module}.CHUNK", 1)
    for _ in range(3):
        place()
    with ThreadPoolExecutor(1) as other:

        def write(_: Counts) -> None:
            other.submit(place).result()

        assert backfill(Order.objects.all(), report=write).total == 3
        other.submit(connections.close_all).result()
    assert Order.objects.count() == 6


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("2026-07-01", datetime(2026, 7, 1, 3, tzinfo=UTC)),
        ("2026-07-01T09:30", datetime(2026, 7, 1, 12, 30, tzinfo=UTC)),
        ("2026-07-01T09:30+00:00", datetime(2026, 7, 1, 9, 30, tzinfo=UTC)),
    ],
)
def test_a_time_without_an_offset_is_in_the_default_time_zone(
    db: None, settings: Any, since: str, expected: datetime
) -> None:
    asked.clear()
    settings.TIME_ZONE = "America/Sao_Paulo"
    with timezone.override("Asia/Tokyo"):
        run("nothing_since", f"--since={since}")
    assert asked == [expected]


def test_a_shop_without_time_zones_gets_a_naive_time(db: None, settings: Any) -> None:
    settings.USE_TZ = False
    asked.clear()
    run("nothing_since", "--since=2026-07-01T09:30Z")
    assert asked == [datetime(2026, 7, 1, 9, 30)]  # noqa: DTZ001


@pytest.mark.parametrize(
    ("name", "option", "words"),
    [
        ("no_such", "", "dotted path of a callable: shop.tracking.completed_since"),
        ("CUSTOMER", "", "TypeError.*called with a datetime"),
        ("failing_since", "", "TypeError.*called with a datetime"),
        ("number_since", "", "returned int, not orders: let it yield them"),
        (
            "nothing_since",
            "--since=yesterday",
            "--since: 'yesterday' is not a time: write",
        ),
        (
            "nothing_since",
            "--until=1h",
            "--until: '1h' is not a time: write 2026-11-01",
        ),
        ("nothing_since", "--since=2999-01-01", "--since is in the future"),
        ("nothing_since", f"--until={SINCE}", "--until must be later than --since"),
        (
            "nothing_since",
            "--business=mx",
            "'mx' is not in the settings, which have: default",
        ),
        ("nothing_since", "--using=nowhere", "--using: invalid choice: 'nowhere'"),
    ],
)
def test_bad_input_is_answered_with_what_to_do(
    db: None, name: str, option: str, words: str
) -> None:
    with pytest.raises(CommandError, match=words):
        run(name, *filter(None, [option]))


def test_a_person_at_a_terminal_sees_how_far_it_is(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        f"{__name__}.nothing_since",
        lambda _: (make_purchase(f"ORD-{number}") for number in range(200)),
    )
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", terminal)
    show_each_step(monkeypatch)
    run("nothing_since")
    assert "%" not in terminal.getvalue()
    *_, last, cleared = terminal.getvalue().rstrip("\r").split("\r")
    assert re.fullmatch(r"\d+ orders \[00:0\d, +[\d.]+ orders/s\] *", last)
    assert cleared.strip() == ""


def test_while_sending_is_off_what_is_found_is_not_sent_later(
    customer: Any, configure: Any
) -> None:
    configure(SEND=False)
    make_click(age=3600, user=customer)
    place()
    label = Reason.SENDING_OFF.label
    assert run() == [f"1 skipped, sending_off: {label}"]
    configure(SEND=True)
    assert run() == ["1 already recorded"]
