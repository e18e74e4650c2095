from __future__ import annotations

import copy
import dataclasses
import itertools
import pickle
import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, localcontext
from enum import Enum
from types import MappingProxyType, SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.utils.functional import lazystr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectly_tracking.api.contents import Line
from connectly_tracking.api.currencies import CODES
from connectly_tracking.api.purchase import Payload
from connectly_tracking.api.values import legible, order_id, unix_time
from connectly_tracking.events import Item, Purchase
from connectly_tracking.exceptions import ConnectlyTrackingError, InvalidEvent

NOW = datetime(2025, 5, 6, 12, tzinfo=UTC)
SECONDS = 1746480000
BERLIN = ZoneInfo("Europe/Berlin")
UUID_ID = UUID("5f0c6f0e-2f3c-4b5e-9a53-0d5b1c9f8a11")
ORDER: dict[str, Any] = {
    "order_id": "ORD-7821",
    "value": Decimal("99.97"),
    "currency": "USD",
    "event_time": SECONDS,
}


class Word(str, Enum):  # noqa: UP042 - whose str() is not its value
    ORDER = "ORD-1"


class Model:
    _meta = "as Django's models have it"
    id = 5


class Unreadable:
    """Like a queryset whose database has gone."""

    def __iter__(self):
        raise OSError("the database has gone")


def check(**fields: Any) -> Payload:
    return Payload.from_purchase(Purchase(**ORDER | fields), now=NOW, zone=BERLIN)


def fault(**fields):
    with pytest.raises(InvalidEvent) as caught:
        check(**fields)
    assert str(caught.value) == f"{caught.value.field}: {caught.value.problem}"
    return str(caught.value)


class FlatEarth(tzinfo):
    """A time zone that cannot count to this day."""

    def utcoffset(self, when):
        raise OverflowError("date value out of range")

    dst = tzname = utcoffset


def named(value):
    """As repr() but without an address, which each process has its own of."""
    return re.sub(" at 0x[0-9a-f]+", "", repr(value))


def item(**fields):
    return {"id": "sku", **fields}


def fails_midway():
    yield item()
    raise RuntimeError("the shop's own bug")


class TestOrderId:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("ORD-1", "ORD-1"),
            ("ord-1", "ord-1"),
            ("1", "1"),
            (1, "1"),
            (0, "0"),
            (UUID_ID, "5f0c6f0e-2f3c-4b5e-9a53-0d5b1c9f8a11"),
            (lazystr("ORD-1"), "ORD-1"),
            (Word.ORDER, "ORD-1"),
            ("caf\u00e9", "caf\u00e9"),
            ("cafe\u0301", "cafe\u0301"),
            ("ORD 1", "ORD 1"),
            ("注文-1", "注文-1"),
            ("x" * 128, "x" * 128),
        ],
    )
    def test_it_is_the_text_as_it_is_stored(self, given, kept):
        assert check(order_id=given).order_id == order_id(given) == kept
        assert type(check(order_id=given).order_id) is str

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (None, "order_id: is None; pass a text"),
            (True, "order_id: is of type bool; pass a text"),
            (1.0, "order_id: is of type float; pass a text"),
            (b"ORD-1", "order_id: is of type bytes; pass a text"),
            (Decimal(1), "order_id: is of type Decimal; pass a text"),
            (Model(), "order_id: is of type Model; pass a text"),
            ("", "order_id: is empty"),
            ("   ", "order_id: is empty"),
            ("\n", "order_id: is empty"),
            (lazystr(""), "order_id: is empty"),
            ("x" * 129, "order_id: has 129 characters; at most 128 are allowed"),
            ("ORD\x001", "order_id: contains control characters"),
            ("ORD-1\r\n", "order_id: contains control characters"),
            ("ORD\x1b[31m", "order_id: contains control characters"),
            ("ORD\x85", "order_id: contains control characters"),
            ("ORD\u20281", "order_id: contains control characters"),
            ("ORD\ud800", "order_id: contains control characters"),
            (" ORD-1", "order_id: has white space around it; pass it as it is stored"),
            ("ORD-1\xa0", "order_id: has white space around it; pass it as it is"),
        ],
    )
    def test_whatever_else_is_refused_with_words(self, given, words):
        assert fault(order_id=given).startswith(words)

    @pytest.mark.parametrize(
        ("given", "shown"),
        [
            ("ORD-1", "ORD-1"),
            (7, "7"),
            (UUID_ID, str(UUID_ID)),
            (" ORD-1\r\n", "ORD-1\ufffd\ufffd"),
            ("a\x00b\ud800", "a\ufffdb\ufffd"),
            ("x" * 200, "x" * 128),
            (None, ""),
            (True, ""),
            (1.5, ""),
            (b"ORD-1", ""),
            ("", ""),
        ],
    )
    def test_of_a_refused_one_is_shown_what_can_be(self, given, shown):
        assert legible(given) == shown

    @given(st.text() | st.integers(-(10**4000), 10**4000))
    def test_what_is_shown_can_always_be_stored(self, given):
        shown = legible(given)
        assert len(shown) <= 128
        assert "\x00" not in shown
        shown.encode()

    def test_a_number_too_long_to_print_is_refused_with_words(self):
        assert legible(10**5000) == ""
        assert fault(order_id=10**5000).startswith("order_id: ")

    @pytest.mark.parametrize("given", [Word.ORDER, lazystr("ORD-1")])
    def test_a_refused_order_has_the_same_id_as_a_good_one(self, given):
        assert legible(given) == order_id(given)


class TestAmounts:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            (Decimal("99.97"), "99.97"),
            (Decimal("99.970"), "99.970"),
            (Decimal("1E+3"), "1E+3"),
            (Decimal("12345678901234567.89"), "12345678901234567.89"),
            (Decimal("0.000001"), "0.000001"),
            (Decimal("1.0000001"), "1"),
            (Decimal("0.12345650000001"), "0.123457"),
            (Decimal("1E-999999"), "0"),
            (Decimal("0E+999999"), "0"),
            (Decimal("-0.00"), "0"),
            (Decimal("-1E-9"), "0"),
            (0, "0"),
            (100, "100"),
            (10**18 - 1, "999999999999999999"),
            (99.97, "99.97"),
            (0.1 + 0.2, "0.3"),
            (1.1 * 3, "3.3"),
            (1e3, "1000.0"),
            (5e-324, "0"),
            (-0.0, "0"),
            ("99.97", "99.97"),
            ("-0", "0"),
        ],
        ids=named,
    )
    def test_an_amount_is_exact_to_six_places(self, given, kept):
        value = check(value=given).value
        assert value == Decimal(kept)
        assert not value.is_signed()
        assert re.fullmatch(r"\d+(\.\d{1,6})?", format(value, "f"))
        (line,) = check(contents=[item(item_price=given)]).contents
        assert line.item_price == value

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (Decimal("NaN"), "is not a finite number"),
            (Decimal("sNaN"), "is not a finite number"),
            (Decimal("-Infinity"), "is not a finite number"),
            (float("nan"), "is not a finite number"),
            (float("inf"), "is not a finite number"),
            (-1, "is negative; a refund cannot be reported"),
            (Decimal("-0.01"), "is negative; a refund cannot be reported"),
            (Decimal("1e30"), "has more than 18 digits"),
            (1e30, "has more than 18 digits"),
            (10**4000, "has more than 18 digits"),
            (Decimal("1E+999999"), "has more than 18 digits"),
            ("1" * 64, "has more than 18 digits"),
            ("1" * 65, "is the text '11111"),
            ("1e3", "is the text '1e3'; pass a Decimal"),
            ("12,30", "is the text '12,30'; pass a Decimal"),
            ("1\n", "is the text '1\\n'; pass a Decimal"),
            (" 1", "is the text ' 1'; pass a Decimal"),
            ("٣", "is the text '\\u0663'; pass a Decimal"),
            ("NaN", "is the text 'NaN'; pass a Decimal"),
            ("", "is the text ''; pass a Decimal"),
            (True, "is of type bool; pass a Decimal"),
            (1j, "is of type complex; pass a Decimal"),
            (b"1", "is of type bytes; pass a Decimal"),
            (
                SimpleNamespace(amount=1),
                "is of type SimpleNamespace; pass value.amount",
            ),
        ],
    )
    def test_whatever_else_is_refused_with_words(self, given, words):
        assert fault(value=given).startswith(f"value: {words}")
        where = "contents[1].item_price"
        found = fault(contents=[item(), item(item_price=given)])
        assert found.startswith(f"{where}: {words}")

    def test_an_order_needs_a_value_and_an_item_no_price(self):
        assert fault(value=None) == "value: is None; pass a Decimal"
        assert check(contents=[item(item_price=None)]).contents[0].item_price is None

    def test_rounding_up_does_not_make_a_nineteenth_digit(self):
        assert "more than 18 digits" in fault(value=Decimal("9" * 18 + ".9999999"))

    @pytest.mark.parametrize("quantity", [1, 3, Decimal("0.5"), Decimal("1.250"), 2.5])
    def test_a_quantity_may_be_a_fraction(self, quantity):
        payload = check(contents=[item(quantity=quantity)])
        assert payload.contents[0].quantity == payload.num_items == quantity

    @pytest.mark.parametrize("whole", [2, 2.0, Decimal("2.00"), Decimal("2E0"), "2"])
    def test_a_whole_quantity_is_an_int(self, whole):
        payload = check(contents=[item(quantity=whole)], num_items=whole)
        assert repr((payload.contents[0].quantity, payload.num_items)) == "(2, 2)"

    @pytest.mark.parametrize("quantity", [0, -1, Decimal("-0.5"), Decimal("1E-7")])
    def test_a_quantity_is_more_than_zero(self, quantity):
        assert fault(contents=[item(quantity=quantity)]) == (
            "contents[0].quantity: must be more than zero"
        )
        assert fault(num_items=quantity) == "num_items: must be more than zero"

    def test_a_quantity_that_is_none_is_refused(self):
        assert "quantity: is None" in fault(contents=[item(quantity=None)])

    def test_fractions_that_add_up_to_a_whole_are_a_whole(self):
        payload = check(contents=[item(quantity=Decimal("0.5"))] * 2)
        assert repr(payload.num_items) == "1"

    def test_the_shops_own_decimal_context_changes_nothing(self):
        with localcontext(prec=3):
            payload = check(
                value=Decimal("1234.56"),
                contents=[item(quantity=Decimal("1000.5"))] * 2,
            )
        assert (payload.value, payload.num_items) == (Decimal("1234.56"), 2001)


class TestCurrency:
    @pytest.mark.parametrize("given", ["USD", "usd", "Usd", "usD"])
    def test_it_is_upper_case(self, given):
        assert check(currency=given).currency == "USD"

    def test_every_code_has_three_capital_letters(self):
        assert {"USD", "EUR", "BRL", "INR", "XCG"} <= CODES
        assert all(len(code) == 3 and code.isupper() for code in CODES)

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (None, "is None; pass a code of ISO 4217 such as 'USD'"),
            (978, "is of type int; pass a code"),
            ("", "'' is no code of ISO 4217"),
            ("US", "'US' is no code of ISO 4217"),
            ("XXX", "'XXX' is no code of ISO 4217"),
            ("USD ", "'USD ' is no code of ISO 4217"),
            ("$", "'$' is no code of ISO 4217"),
            ("\uff35\uff33\uff24", "'\\uff35\\uff33\\uff24' is no code of ISO 4217"),
            ("E\x00R" * 100, "'E\\x00RE\\x00R"),
        ],
    )
    def test_whatever_else_is_refused_with_words(self, given, words):
        assert fault(currency=given).startswith(f"currency: {words}")
        assert len(fault(currency=given)) < 300

    @pytest.mark.parametrize("given", ["u\u017fd", "\u0131dr", "\xdfp"])
    def test_letters_that_only_become_ascii_are_refused(self, given):
        assert "is no code" in fault(currency=given)


class TestEventTime:
    @pytest.mark.parametrize(
        ("given", "seconds"),
        [
            (SECONDS, SECONDS),
            (SECONDS + 0.999, SECONDS),
            (1, 1),
            (datetime(2025, 5, 5, 21, 20, tzinfo=UTC), SECONDS),
            (datetime(2025, 5, 5, 21, 20, 0, 999_999, tzinfo=UTC), SECONDS),
            (datetime(2025, 5, 5, 23, 20), SECONDS),  # noqa: DTZ001 - Berlin's
            (datetime(2025, 5, 5, 23, 20, tzinfo=BERLIN), SECONDS),
            (datetime(2025, 5, 6, 2, 50, tzinfo=ZoneInfo("Asia/Kolkata")), SECONDS),
            # Spring: 02:30 is no time in Berlin. Autumn: it is one twice.
            (datetime(2025, 3, 30, 2, 30), 1743298200),  # noqa: DTZ001
            (datetime(2025, 3, 30, 2, 30, fold=1), 1743294600),  # noqa: DTZ001
            (datetime(2024, 10, 27, 2, 30), 1729989000),  # noqa: DTZ001
            (datetime(2024, 10, 27, 2, 30, fold=1), 1729992600),  # noqa: DTZ001
            (NOW - timedelta(days=8), NOW.timestamp() - 8 * 86_400),
            (NOW + timedelta(minutes=5), NOW.timestamp() + 300),
            (NOW.timestamp() + 300, NOW.timestamp() + 300),
        ],
        ids=named,
    )
    def test_it_is_whole_seconds_of_the_order(self, given, seconds):
        found = check(event_time=given).event_time
        assert found == unix_time(given, now=NOW, zone=BERLIN) == seconds
        assert type(found) is int

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (None, "is None; pass a datetime or Unix seconds of the order"),
            ("2025-05-05T21:20:00Z", "is the text '2025-05-05T21:20:00Z'; pass a"),
            ("1746480000", "is the text '1746480000'; pass a datetime"),
            (date(2025, 5, 5), "is a date; pass the datetime of the order"),
            (True, "is of type bool; pass a datetime"),
            (Decimal(SECONDS), "is of type Decimal; pass a datetime"),
            (timedelta(1), "is of type timedelta; pass a datetime"),
            (SECONDS * 1000, "looks like milliseconds; pass seconds"),
            (SECONDS * 1000.0, "looks like milliseconds; pass seconds"),
            (1e300, "looks like milliseconds; pass seconds"),
            (float("nan"), "is not a finite number"),
            (float("inf"), "is not a finite number"),
            (float("-inf"), "is not a finite number"),
            (0, "lies before 1970"),
            (-1, "lies before 1970"),
            (datetime(1, 1, 1), "lies before 1970"),  # noqa: DTZ001
            (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "lies before"),
            (NOW + timedelta(minutes=5, seconds=1), "lies in the future; pass when"),
            (NOW.timestamp() + 301, "lies in the future; pass when the order was"),
            (NOW + timedelta(days=1), "lies in the future; pass when the order was"),
        ],
        ids=named,
    )
    def test_whatever_else_is_refused_with_words(self, given, words):
        assert fault(event_time=given).startswith(f"event_time: {words}")

    def test_a_zone_that_cannot_count_so_far_is_refused_with_words(self):
        with pytest.raises(InvalidEvent, match="event_time: is out of range"):
            unix_time(datetime(2025, 5, 5), now=NOW, zone=FlatEarth())  # noqa: DTZ001

    def test_a_datetime_of_such_a_zone_is_refused_with_words(self):
        fault(event_time=datetime(2025, 5, 5, tzinfo=FlatEarth()))

    def test_a_number_too_large_for_a_float_is_refused_with_words(self):
        assert "looks like milliseconds" in fault(event_time=10**400)

    def test_a_datetime_is_never_taken_for_milliseconds(self):
        assert "lies in the future" in fault(
            event_time=datetime.max.replace(tzinfo=UTC)
        )


class TestContents:
    def test_items_and_mappings_are_one_and_the_same(self):
        contents = [
            Item(id="a", quantity=2, item_price=Decimal("1.50")),
            {"id": "a", "quantity": 2, "item_price": "1.50"},
            MappingProxyType({"id": "a", "quantity": 2.0, "item_price": 1.5}),
        ]
        line = Line(id="a", quantity=2, item_price=Decimal("1.5"))
        payload = check(contents=contents)
        assert payload.contents == (line, line, line)
        assert payload.content_ids == ("a", "a", "a")
        assert payload.num_items == 6

    def test_an_order_without_items_has_neither_ids_nor_a_number(self):
        payload = check()
        assert (payload.contents, payload.content_ids) == ((), ())
        assert payload.num_items is None

    def test_ids_and_number_may_be_given(self):
        payload = check(contents=[item()], content_ids=["x", 7, UUID_ID], num_items=9)
        assert payload.content_ids == ("x", "7", str(UUID_ID))
        assert payload.num_items == 9
        assert check(contents=[item()], content_ids=()).content_ids == ()

    @pytest.mark.parametrize("given", ["sku", 5, UUID_ID, lazystr("sku"), "ключ"])
    def test_an_items_id_is_read_like_an_orders(self, given):
        assert check(contents=[item(id=given)]).contents[0].id == str(given)

    def test_a_thousand_items_are_kept_in_order(self):
        payload = check(contents=(item(id=n) for n in range(1000)))
        assert payload.content_ids == tuple(map(str, range(1000)))
        assert payload.num_items == 1000

    def test_a_generator_can_be_recorded_twice(self):
        purchase = Purchase(
            **ORDER, contents=(item(id=n) for n in "ab"), content_ids=iter("xy")
        )
        first, second = (
            Payload.from_purchase(purchase, now=NOW, zone=UTC) for _ in range(2)
        )
        assert first == second
        assert first.content_ids == ("x", "y")
        assert [line.id for line in first.contents] == ["a", "b"]

    @pytest.mark.parametrize("field", ["contents", "content_ids"])
    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ("sku", "is the text 'sku'; pass a list"),
            (b"sku", "is of type bytes; pass a list"),
            ({"id": "sku"}, "is of type dict; pass a list"),
            (5, "is of type int; pass a list"),
            (item, "is of type function; pass a list"),
            ({"a"}, "is a set, which drops equal lines and their order"),
            (frozenset("a"), "is a set, which drops equal lines and their order"),
            ({"a": 1}.keys(), "is a set, which drops equal lines and their order"),
            ([None], "[0]"),
            ([["sku"]], "[0]"),
        ],
        ids=named,
    )
    def test_what_is_no_list_is_refused_with_words(self, field, given, words):
        assert words in fault(**{field: given})

    def test_what_cannot_be_read_is_refused_and_says_why_to_developers(self):
        with pytest.raises(InvalidEvent, match="contents: could not be read") as caught:
            check(contents=fails_midway())
        assert repr(caught.value.__cause__) == 'RuntimeError("the shop\'s own bug")'

    def test_none_is_no_list_of_items(self):
        assert fault(contents=None) == "contents: is None; pass a list"

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (None, "is None; pass an Item or a mapping"),
            ("sku", "is the text 'sku'; pass an Item or a mapping"),
            (SimpleNamespace(id=1), "is of type SimpleNamespace; pass an Item"),
            (Model(), "is a model instance (Model) and its id is its primary key; p"),
            ({"id": "a", "price": 1, "qty": 2}, "has unknown keys price, qty; an item"),
            ({5: 6}, "has unknown keys 5; an item has id, quantity, item_price"),
            ({}, "id: is None; pass a text"),
            ({"quantity": 1}, "id: is None; pass a text"),
            (item(id=""), "id: is empty"),
            (item(id=True), "id: is of type bool"),
            (item(id="x" * 129), "id: has 129 characters"),
            (item(id="a\x00"), "id: contains control characters"),
            (Item(id=None, quantity=0), "id: is None"),  # type: ignore[arg-type]
            (item(quantity="many"), "quantity: is the text 'many'; pass a Decimal"),
        ],
        ids=named,
    )
    def test_a_bad_item_is_named_by_its_place(self, given, words):
        found = fault(contents=[item(), given])
        assert found.removeprefix("contents[1]").lstrip(".: ").startswith(words)
        assert found.startswith("contents[1]")

    def test_a_bad_content_id_is_named_by_its_place(self):
        assert fault(content_ids=["a", ""]) == "content_ids[1]: is empty"

    @pytest.mark.parametrize("given", [None, "", 5.5, "a\nb", "x" * 129])
    def test_a_content_type_is_a_short_text(self, given):
        assert fault(content_type=given).startswith("content_type: ")
        assert check(content_type="product_group").content_type == "product_group"

    @pytest.mark.parametrize("key", ["a\x00b", "a\r\nERROR forged line", "x" * 5000])
    def test_a_reason_can_be_stored_and_logged_whatever_the_key(self, key):
        found = fault(contents=[item(**{key: 1})])
        assert found.isprintable()
        assert len(found) < 1000

    def test_a_key_too_long_to_print_is_refused_with_words(self):
        assert "unknown keys" in fault(contents=[{10**5000: 1}])

    @pytest.mark.parametrize("given", [bytearray(b"sku")], ids=named)
    def test_a_row_of_bytes_or_numbers_is_no_list_of_ids(self, given):
        fault(content_ids=given)


class TestErrors:
    def test_an_invalid_event_is_a_value_error_of_ours(self):
        error = InvalidEvent("value", "is None")
        assert isinstance(error, ConnectlyTrackingError)
        assert isinstance(error, ValueError)
        assert (error.field, error.problem) == ("value", "is None")

    @pytest.mark.parametrize(
        "remade",
        [lambda error: pickle.loads(pickle.dumps(error)), copy.copy],
    )
    def test_an_invalid_event_goes_from_process_to_process(self, remade):
        error = remade(InvalidEvent("value", "is None"))
        assert (str(error), error.field) == ("value: is None", "value")


def test_events_and_payloads_do_not_change():
    for frozen in (Purchase(**ORDER), Item(id="a"), check()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(frozen, dataclasses.fields(frozen)[0].name, "b")


def test_the_first_wrong_field_is_named():
    assert fault(order_id=None, value=None, currency=None).startswith("order_id: ")


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text()
    | st.binary()
    | st.uuids()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.sampled_from([Model(), object(), Item, item, lazystr("x"), Word.ORDER])
    | st.integers(-(10**300), 10**300)
)
ITEMS = st.builds(
    Item, id=SCALARS, quantity=SCALARS, item_price=SCALARS
) | st.dictionaries(st.sampled_from(["id", "quantity", "item_price", "price"]), SCALARS)
JUNK = st.recursive(
    SCALARS | ITEMS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(iter)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.frozensets(st.text() | st.integers())
        | st.builds(fails_midway)
    ),
    max_leaves=8,
)
PLAUSIBLE = {
    "order_id": st.just("ORD-1"),
    "value": st.just(Decimal("1.5")),
    "currency": st.sampled_from(["USD", "eur"]),
    "event_time": st.just(SECONDS),
    "contents": st.lists(ITEMS, max_size=4),
    "content_type": st.just("product"),
    "content_ids": st.none() | st.lists(st.text("ab", min_size=1)),
    "num_items": st.none() | st.integers(1, 9),
}


# What is slow on a busy machine is the drawing of junk, not ours.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("field", PLAUSIBLE)
@PATIENT
@given(data=st.data())
def test_any_junk_is_refused_with_its_field_or_is_good(field, data):
    fields = {
        name: data.draw(JUNK if name == field else good, label=name)
        for name, good in PLAUSIBLE.items()
    }
    purchase = Purchase(**fields)
    fault = None
    try:
        payload = Payload.from_purchase(purchase, now=NOW, zone=BERLIN)
    except InvalidEvent as exc:
        fault = exc
    if fault is not None:
        assert re.split(r"[.\[]", fault.field)[0] in fields
        assert str(fault) == f"{fault.field}: {fault.problem}"
        return
    assert payload == Payload.from_purchase(purchase, now=NOW, zone=BERLIN)
    assert 0 < len(payload.order_id) <= 128
    assert 0 <= payload.value < 10**18
    assert payload.currency in CODES
    assert 0 <= payload.event_time <= NOW.timestamp() + 300
    for line in payload.contents:
        assert 0 < len(line.id) <= 128
        assert 0 < line.quantity < 10**18


@PATIENT
@given(st.tuples(*itertools.repeat(JUNK, 8)))
def test_constructing_never_raises(values):
    Purchase(**dict(zip(PLAUSIBLE, values, strict=True)))
