from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, localcontext
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.db import DatabaseError
from django.utils.functional import SimpleLazyObject, lazy, lazystr
from hypothesis import given
from hypothesis import strategies as st

from connectly_tracking.api.values import (
    CURRENCY_CODES,
    checked_text,
    id_text,
    safe_id,
    unix_time,
)
from connectly_tracking.exceptions import InvalidEvent

from .checked import (
    BERLIN,
    NOW,
    SECONDS,
    UUID_ID,
    Model,
    Word,
    check,
    item,
    named,
    notes_on,
    problem_with,
)
from .conftest import cpu_time_below

NO_NUMBER = "must be a number, such as 99.97, not"
NO_CURRENCY = "is not an ISO 4217 currency code (such as USD)"
NO_TIME = "must be a datetime or Unix seconds, not"
TOO_LONG = "must have at most 18 digits before the decimal point"
TOO_EARLY = "must be later than 1970-01-01"
TOO_LATE = "must not be in the future; pass the time when the order was placed"


class FlatEarth(tzinfo):
    """A time zone that cannot count to this day."""

    def utcoffset(self, when):
        raise OverflowError("date value out of range")

    dst = tzname = utcoffset


class Mean:
    """A value that raises whatever is asked of it."""

    @property  # type: ignore[misc]
    def __class__(self):
        raise RuntimeError("the shop's own bug")

    def __getattr__(self, name):
        raise RuntimeError("the shop's own bug")


RAISING = [
    Mean(),
    SimpleLazyObject(lambda: [][0]),
    lazy(lambda: str(1 / 0), str)(),
]


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
        assert check(order_id=given).order_id == checked_text("order_id", given) == kept
        assert type(check(order_id=given).order_id) is str

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (None, "order_id: must be a string, not None"),
            (True, "order_id: must be a string, not bool"),
            (1.0, "order_id: must be a string, not float"),
            (b"ORD-1", "order_id: must be a string, not bytes"),
            (Decimal(1), "order_id: must be a string, not Decimal"),
            (Model(), "order_id: must be a string, not Model"),
            ("", "order_id: must not be empty"),
            ("   ", "order_id: must not be empty"),
            ("\n", "order_id: must not be empty"),
            (lazystr(""), "order_id: must not be empty"),
            ("x" * 129, "order_id: must have at most 128 characters, not 129"),
            ("ORD\x001", "order_id: must not contain control characters"),
            ("ORD-1\r\n", "order_id: must not contain control characters"),
            ("ORD\x1b[31m", "order_id: must not contain control characters"),
            ("ORD\x85", "order_id: must not contain control characters"),
            ("ORD\u20281", "order_id: must not contain control characters"),
            ("ORD\ud800", "order_id: must not contain control characters"),
            (" ORD-1", "order_id: must not begin or end with white space"),
            ("ORD-1\xa0", "order_id: must not begin or end with white space"),
        ],
    )
    def test_whatever_else_is_refused_with_words(self, given, words):
        assert problem_with(order_id=given).startswith(words)

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
        assert safe_id(given) == shown

    @given(st.text() | st.integers(-(10**4000), 10**4000))
    def test_what_is_shown_can_always_be_stored(self, given):
        shown = safe_id(given)
        assert len(shown) <= 128
        assert "\x00" not in shown
        shown.encode()

    @pytest.mark.parametrize(
        ("given", "text"),
        [
            (SimpleLazyObject(lambda: "ORD-1"), "ORD-1"),
            (SimpleLazyObject(lambda: 7), "7"),
            (SimpleLazyObject(lambda: UUID_ID), str(UUID_ID)),
            (SimpleLazyObject(lambda: lazystr("ORD-1")), "ORD-1"),
        ],
    )
    def test_a_lazy_one_is_what_it_stands_for(self, given, text):
        assert check(order_id=given).order_id == safe_id(given) == text

    @pytest.mark.parametrize("number", range(3))
    def test_one_that_raises_is_refused_and_can_be_named_without_raising(self, number):
        given = RAISING[number]
        with pytest.raises(InvalidEvent, match="order_id: could not be read"):
            check(order_id=given)
        assert (safe_id(given), id_text(given)) == ("", None)

    @pytest.mark.parametrize("field", ["value", "currency", "event_time"])
    def test_a_required_value_that_raises_is_refused_with_its_field(self, field):
        words = f"{field}: could not be read (ZeroDivisionError)"
        assert problem_with(**{field: SimpleLazyObject(lambda: 1 / 0)}) == words

    def test_an_error_of_the_database_is_not_kept_from_the_shop(self):
        def fail():
            raise DatabaseError

        for field in ("order_id", "value", "currency", "event_time", "contents"):
            with pytest.raises(DatabaseError):
                check(**{field: SimpleLazyObject(fail)})
        for contents in ([SimpleLazyObject(fail)], (fail() for _ in "a")):
            with pytest.raises(DatabaseError):
                check(contents=contents)

    def test_a_number_too_long_to_print_is_refused_with_words(self):
        assert safe_id(10**5000) == ""
        assert problem_with(order_id=10**5000).startswith("order_id: ")

    @pytest.mark.parametrize("given", [Word.ORDER, lazystr("ORD-1")])
    def test_a_refused_order_has_the_same_id_as_a_good_one(self, given):
        assert safe_id(given) == checked_text("order_id", given)


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
            (Decimal("NaN"), "must be a finite number"),
            (Decimal("sNaN"), "must be a finite number"),
            (Decimal("-Infinity"), "must be a finite number"),
            (float("nan"), "must be a finite number"),
            (float("inf"), "must be a finite number"),
            (-1, "must not be negative; a refund cannot be reported"),
            (Decimal("-0.01"), "must not be negative; a refund cannot be reported"),
            (Decimal("1e30"), TOO_LONG),
            (1e30, TOO_LONG),
            (10**4000, TOO_LONG),
            (-(10**4000), TOO_LONG),
            (
                Decimal("1E+999999"),
                TOO_LONG,
            ),
            ("1" * 64, TOO_LONG),
            ("1" * 65, f"{NO_NUMBER} '11111"),
            ("1e3", f"{NO_NUMBER} '1e3'"),
            ("12,30", f"{NO_NUMBER} '12,30'"),
            ("1\n", f"{NO_NUMBER} '1\\n'"),
            (" 1", f"{NO_NUMBER} ' 1'"),
            ("٣", f"{NO_NUMBER} '\\u0663'"),
            ("NaN", f"{NO_NUMBER} 'NaN'"),
            ("", f"{NO_NUMBER} ''"),
            (True, f"{NO_NUMBER} bool"),
            (1j, f"{NO_NUMBER} complex"),
            (b"1", f"{NO_NUMBER} bytes"),
            (
                SimpleNamespace(amount=1),
                f"{NO_NUMBER} SimpleNamespace; pass its amount",
            ),
        ],
    )
    def test_whatever_else_is_refused_with_words(self, given, words):
        assert problem_with(value=given).startswith(f"value: {words}")
        words = words.partition("; a refund")[0]
        assert notes_on(contents=[item(), item(item_price=given)]).startswith(
            f"contents[1] (id 'sku') was left out: item_price {words}"
        )

    @pytest.mark.parametrize(
        "given",
        [
            10**1_000_000,
            -(10**1_000_000),
            Decimal(f"1e{10**6}"),
            Decimal("9" * 1_000_000),
            "9" * 1_000_000,
        ],
        ids=["int", "negative", "exponent", "digits", "text"],
    )
    def test_a_monstrous_number_is_refused_in_milliseconds(self, given):
        with cpu_time_below(0.2):
            problem_with(value=given)
            notes_on(num_items=given, contents=[item(quantity=given, item_price=given)])
            problem_with(event_time=given)
            problem_with(order_id=given)

    def test_an_order_needs_a_value_and_an_item_no_price(self):
        assert problem_with(value=None) == f"value: {NO_NUMBER} None"
        assert check(contents=[item(item_price=None)]).contents[0].item_price is None

    def test_rounding_up_does_not_make_a_nineteenth_digit(self):
        assert "at most 18 digits" in problem_with(value=Decimal("9" * 18 + ".9999999"))

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
        assert notes_on(contents=[item(quantity=quantity)]) == (
            "contents[0] (id 'sku') was left out: quantity must be greater than zero."
        )
        assert notes_on(num_items=quantity) == (
            "num_items was replaced by the sum of the quantities: the value passed "
            "must be greater than zero."
        )

    def test_a_line_with_no_quantity_is_left_out(self):
        assert f"quantity {NO_NUMBER} None." in notes_on(contents=[item(quantity=None)])

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
        assert {"USD", "EUR", "BRL", "INR", "XCG"} <= CURRENCY_CODES
        assert all(len(code) == 3 and code.isupper() for code in CURRENCY_CODES)

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (None, "must be an ISO 4217 currency code (such as USD), not None"),
            (978, "must be an ISO 4217 currency code (such as USD), not int"),
            ("", f"'' {NO_CURRENCY}"),
            ("US", f"'US' {NO_CURRENCY}"),
            ("XXX", f"'XXX' {NO_CURRENCY}"),
            ("USD ", f"'USD ' {NO_CURRENCY}"),
            ("$", f"'$' {NO_CURRENCY}"),
            (
                "\uff35\uff33\uff24",
                f"'\\uff35\\uff33\\uff24' {NO_CURRENCY}",
            ),
            ("E\x00R" * 100, "'E\\x00RE\\x00R"),
        ],
    )
    def test_whatever_else_is_refused_with_words(self, given, words):
        assert problem_with(currency=given).startswith(f"currency: {words}")
        assert len(problem_with(currency=given)) < 300

    @pytest.mark.parametrize("given", ["u\u017fd", "\u0131dr", "\xdfp"])
    def test_letters_that_only_become_ascii_are_refused(self, given):
        assert "is not an ISO 4217 currency code" in problem_with(currency=given)


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
        ("zone", "now", "given", "order_is_minutes_old"),
        [
            # The hour that comes twice, with a fold that code has lost or made up.
            ("Europe/Berlin", "2024-10-27T00:40Z", "2024-10-27T02:30", 10),
            ("Europe/Berlin", "2024-10-27T00:40Z", "2024-10-27T02:30 fold", 10),
            ("Europe/Berlin", "2024-10-27T01:40Z", "2024-10-27T02:30", 70),
            ("Europe/Berlin", "2024-10-27T01:40Z", "2024-10-27T02:30 fold", 10),
            ("America/Santiago", "2026-04-05T02:50Z", "2026-04-04T23:40 fold", 10),
            ("Australia/Lord_Howe", "2026-04-04T14:50Z", "2026-04-05T01:45 fold", 5),
            # The hour that never comes, by subtracting from a time after it.
            ("Europe/Berlin", "2025-03-30T01:05Z", "2025-03-30T02:55", 10),
            ("America/New_York", "2026-03-08T07:10Z", "2026-03-08T02:50", 20),
            ("Europe/Berlin", "2025-03-30T02:05Z", "2025-03-30T02:55", 10),
        ],
    )
    def test_a_naive_time_with_two_readings_is_not_in_the_future(
        self, zone, now, given, order_is_minutes_old
    ):
        text, _, has_fold = given.partition(" ")
        naive = datetime.fromisoformat(text).replace(fold=int(bool(has_fold)))
        moment = datetime.fromisoformat(now)
        found = unix_time(naive, now=moment, zone=ZoneInfo(zone))
        assert (moment.timestamp() - found) / 60 == order_is_minutes_old

    @pytest.mark.parametrize(
        ("now", "given"),
        [
            ("2024-10-27T00:40Z", "2024-10-27T02:46"),
            ("2024-10-27T00:40Z", "2024-10-27T03:00"),
            ("2025-03-30T00:40Z", "2025-03-30T03:00"),
            ("2025-05-06T12:00Z", "2025-05-06T14:06"),
        ],
    )
    def test_a_naive_time_that_is_in_the_future_twice_is_refused(self, now, given):
        naive, moment = map(datetime.fromisoformat, (given, now))
        with pytest.raises(InvalidEvent, match="future"):
            unix_time(naive, now=moment, zone=BERLIN)

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (None, f"{NO_TIME} None"),
            (
                "2025-05-05T21:20:00Z",
                f"{NO_TIME} '2025-05-05T21:20:00Z'",
            ),
            ("1746480000", f"{NO_TIME} '1746480000'"),
            (date(2025, 5, 5), f"{NO_TIME} date"),
            (True, f"{NO_TIME} bool"),
            (Decimal(SECONDS), f"{NO_TIME} Decimal"),
            (timedelta(1), f"{NO_TIME} timedelta"),
            (SECONDS * 1000, "must be in seconds, not in milliseconds"),
            (SECONDS * 1000.0, "must be in seconds, not in milliseconds"),
            (1e300, "must be in seconds, not in milliseconds"),
            (float("nan"), "must be a finite number"),
            (float("inf"), "must be a finite number"),
            (float("-inf"), "must be a finite number"),
            (0, TOO_EARLY),
            (-1, TOO_EARLY),
            (datetime(1, 1, 1), TOO_EARLY),  # noqa: DTZ001
            (
                datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
                TOO_EARLY,
            ),
            (
                NOW + timedelta(minutes=5, seconds=1),
                TOO_LATE,
            ),
            (
                NOW.timestamp() + 301,
                TOO_LATE,
            ),
            (
                NOW + timedelta(days=1),
                TOO_LATE,
            ),
        ],
        ids=named,
    )
    def test_whatever_else_is_refused_with_words(self, given, words):
        assert problem_with(event_time=given).startswith(f"event_time: {words}")

    def test_a_zone_that_cannot_count_so_far_is_refused_with_words(self):
        with pytest.raises(InvalidEvent, match="event_time: is out of range"):
            unix_time(datetime(2025, 5, 5), now=NOW, zone=FlatEarth())  # noqa: DTZ001

    def test_a_datetime_of_such_a_zone_is_refused_with_words(self):
        problem_with(event_time=datetime(2025, 5, 5, tzinfo=FlatEarth()))

    def test_a_number_too_large_for_a_float_is_refused_with_words(self):
        assert "not in milliseconds" in problem_with(event_time=10**400)

    def test_a_datetime_is_never_taken_for_milliseconds(self):
        assert "must not be in the future" in problem_with(
            event_time=datetime.max.replace(tzinfo=UTC)
        )
