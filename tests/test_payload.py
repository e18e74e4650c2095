from __future__ import annotations

import dataclasses
import itertools
import re
import tracemalloc
from collections import UserDict
from datetime import UTC
from decimal import Decimal
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission as Managed
from django.contrib.contenttypes.models import ContentType
from django.utils.functional import SimpleLazyObject, lazy, lazystr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectly_tracking.api.payload import ContentLine, PurchasePayload
from connectly_tracking.api.values import CURRENCY_CODES
from connectly_tracking.events import Item, Purchase, ViewContent
from connectly_tracking.exceptions import InvalidEvent

from .checked import (
    BERLIN,
    NOW,
    ORDER,
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

NO_SET = "must be a list; a set drops equal lines and their order"
NO_ITEM = "must be an Item or a mapping, not"


QUERIES = [
    Managed.objects.all,
    Managed.objects.filter(pk=1).order_by,
    lambda: Managed.objects.all()[:3],
    lambda: Managed.objects.raw("SELECT 1 AS id"),
    lambda: SimpleLazyObject(Managed.objects.all),
]


def lazystr_that_raises():
    return lazy(lambda: str(1 / 0), str)()


def fails_midway():
    yield item()
    raise RuntimeError("the shop's own bug")


class TestContents:
    def test_items_and_mappings_are_one_and_the_same(self):
        contents = [
            Item(id="a", quantity=2, item_price=Decimal("1.50")),
            {"id": "a", "quantity": 2, "item_price": "1.50"},
            MappingProxyType({"id": "a", "quantity": 2.0, "item_price": 1.5}),
        ]
        line = ContentLine(id="a", quantity=2, item_price=Decimal("1.5"))
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
            PurchasePayload.from_purchase(purchase, now=NOW, zone=UTC) for _ in range(2)
        )
        assert first == second
        assert first.content_ids == ("x", "y")
        assert [line.id for line in first.contents] == ["a", "b"]

    @pytest.mark.parametrize("field", ["contents", "content_ids"])
    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ("sku", "must be a list, not 'sku'"),
            (b"sku", "must be a list, not bytes"),
            ({"id": "sku"}, "must be a list, not dict"),
            (5, "must be a list, not int"),
            (item, "must be a list, not function"),
            ({"a"}, NO_SET),
            (frozenset("a"), NO_SET),
            (
                {"a": 1}.keys(),
                NO_SET,
            ),
            (range(3_000_000), "must have at most 10000 entries"),
            (itertools.count(), "must have at most 10000 entries"),
            (["x"] * 10_001, "must have at most 10000 entries"),
            (SimpleLazyObject(lambda: 1 / 0), "could not be read (ZeroDivisionError)"),
            (Managed.objects, "must be a list, not"),
        ],
        ids=named,
    )
    def test_what_is_no_list_is_left_out(self, field, given, words):
        fields: dict[str, Any] = {"contents": [item()], field: given}
        note = f"{field} was left out: it {words}"
        assert notes_on(**fields).startswith(note)
        assert check(**fields).content_ids == (
            ("sku",) if field == "content_ids" else ()
        )

    def test_contents_that_cannot_be_read_are_left_out_each_time(self):
        purchase = Purchase(**ORDER, contents=fails_midway())
        for _ in range(2):
            payload = PurchasePayload.from_purchase(purchase, now=NOW, zone=UTC)
            assert payload.contents == ()
            assert payload.notes == (
                "contents was left out: it could not be read (RuntimeError).",
            )

    def test_none_is_no_list_of_items(self):
        assert notes_on(contents=None) == (
            "contents was left out: it must be a list, not None."
        )

    @pytest.mark.parametrize("field", ["contents", "content_ids"])
    def test_too_much_is_not_read(self, field):
        with cpu_time_below(0.2):
            notes_on(**{field: range(3_000_000)})
            notes_on(**{field: iter(range(3_000_000))})
        tracemalloc.start()
        try:
            notes_on(**{field: range(3_000_000)})
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 3_000_000

    @pytest.mark.parametrize("query", QUERIES)
    def test_a_query_of_model_instances_is_refused_unread(self, query):
        # It would need the database, which this test may not use.
        found = problem_with(contents=query())
        assert found == (
            "contents: is a QuerySet of model instances, and the id of each is its "
            "primary key; pass [Item(id=line.sku, item_price=line.price, …) for line "
            "in …]"
        )
        assert notes_on(content_ids=query(), contents=[item()]) == (
            "content_ids was left out: it must be a list, not a QuerySet of model "
            "instances."
        )

    def test_a_query_that_was_read_is_a_list(self):
        query = Managed.objects.all()
        query._result_cache = [Managed()]
        assert problem_with(contents=query).startswith(
            "contents[0]: is a model instance (Permission) and its id is its primary"
        )

    @pytest.mark.django_db
    def test_a_query_of_values_is_read_to_a_bound(self, django_assert_num_queries):
        rows = ContentType.objects.values_list("model", flat=True)
        with django_assert_num_queries(1) as queries:
            assert "contenttype" in check(content_ids=rows).content_ids
        assert "LIMIT 10001" in queries[0]["sql"]

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (None, f"{NO_ITEM} None"),
            ("sku", f"{NO_ITEM} 'sku'"),
            (
                SimpleNamespace(id=1),
                f"{NO_ITEM} SimpleNamespace",
            ),
            (
                {"id": "a", "price": 1, "qty": 2},
                "has unknown keys: 'price', 'qty'; an",
            ),
            ({5: 6}, "has unknown keys: int; an item has id, quantity, item_price"),
            ({}, "id must be a string, not None"),
            ({"quantity": 1}, "id must be a string, not None"),
            (item(id=""), "id must not be empty"),
            (item(id="ABC-1 "), "id must not begin or end with white space"),
            (item(id=True), "id must be a string, not bool"),
            (item(id="x" * 129), "id must have at most 128 characters, not 129"),
            (item(id="a\x00"), "id must not contain control characters"),
            (Item(id=None, quantity=0), "id must be a string, not None"),  # type: ignore[arg-type]
            (item(quantity="many"), "quantity must be a number, such as"),
            (item(quantity=0), "quantity must be greater than zero"),
            (item(quantity=-1), "quantity must be greater than zero"),
            (item(item_price=-10), "item_price must not be negative"),
            (item(item_price=Decimal("-50.00")), "item_price must not be negative"),
            (item(item_price=float("nan")), "item_price must be a finite number"),
            (item(item_price="free"), "item_price must be a number, such as"),
            (["sku"], "it must be an Item or a mapping, not list"),
            (SimpleLazyObject(lambda: 1 / 0), "it could not be read (ZeroDivision"),
            (item(id=lazystr_that_raises()), "it could not be read (ZeroDivision"),
            (UserDict(id=5.5), "id must be a string, not float"),
        ],
        ids=named,
    )
    def test_a_bad_line_is_left_out_and_named_and_the_order_is_sent(self, given, words):
        contents = [item(), given, item(id="b", quantity=2)]
        payload = check(contents=contents)
        assert [line.id for line in payload.contents] == ["sku", "b"]
        assert (payload.content_ids, payload.num_items) == (("sku", "b"), 3)
        (note,) = payload.notes
        place = re.escape("contents[1]") + r"( \(id '[^']*'\))? was left out: (it )?"
        assert re.match(place + re.escape(words), note)
        assert notes_on(contents=contents) == note

    def test_a_note_says_which_line_it_is_about(self):
        assert notes_on(contents=[item(), item(id="ABC-1 ")]) == (
            "contents[1] (id 'ABC-1 ') was left out: "
            "id must not begin or end with white space."
        )

    @pytest.mark.parametrize("given", [Model(), SimpleLazyObject(Model)], ids=named)
    def test_a_model_instance_refuses_the_order(self, given):
        assert problem_with(contents=[item(), given]) == (
            "contents[1]: is a model instance (Model) and its id is its primary key; "
            "pass Item(id=line.sku, item_price=line.price, …)"
        )

    def test_an_order_with_no_good_line_is_sent_without_contents(self):
        payload = check(contents=[None, item(id=""), "sku"])
        assert (payload.contents, payload.content_ids) == ((), ())
        assert payload.num_items is None
        assert len(payload.notes) == 3

    @pytest.mark.parametrize("number", [5, 6, 20, 10_000])
    def test_the_notes_are_few(self, number):
        notes = check(contents=[None] * number).notes
        places = [note.partition(" ")[0] for note in notes[:5]]
        assert places == [f"contents[{index}]" for index in range(5)]
        assert notes[5:] == ((f"And {number - 5} more.",) if number > 5 else ())
        assert len(" ".join(notes)) < 1000

    def test_a_bad_content_id_is_left_out(self):
        payload = check(content_ids=["a", "", None, "b ", 7])
        assert payload.content_ids == ("a", "7")
        assert payload.notes == (
            "content_ids[1] was left out: it must not be empty.",
            "content_ids[2] was left out: it must be a string, not None.",
            "content_ids[3] was left out: it must not begin or end with white space.",
        )

    @pytest.mark.parametrize(
        "given",
        [None, "", 5.5, "a\nb", "x" * 129, " ", lazystr_that_raises()],
        ids=named,
    )
    def test_a_content_type_that_cannot_be_is_product(self, given):
        assert check(content_type=given).content_type == "product"
        assert notes_on(content_type=given).startswith(
            "content_type was replaced by 'product': the value passed "
        )
        assert check(content_type="product_group").content_type == "product_group"

    @pytest.mark.parametrize("given", [0, -1, "many", True, [], float("nan"), 10**30])
    def test_a_number_of_items_that_cannot_be_is_counted(self, given):
        payload = check(contents=[item(quantity=2)], num_items=given)
        assert payload.num_items == 2
        assert payload.notes[0].startswith("num_items was replaced by the sum")

    @pytest.mark.parametrize("key", ["a\x00b", "a\r\nERROR forged line", "x" * 5000])
    def test_a_reason_can_be_stored_and_logged_whatever_the_key(self, key):
        found = notes_on(contents=[item(**{key: 1})])
        assert found.isprintable()
        assert len(found) < 1000

    def test_a_key_too_long_to_print_is_named_by_its_type(self):
        assert "unknown keys: int" in notes_on(contents=[{10**5000: 1}])

    @pytest.mark.parametrize("given", [bytearray(b"sku")], ids=named)
    def test_a_row_of_bytes_or_numbers_is_no_list_of_ids(self, given):
        assert "must be a list, not bytearray" in notes_on(content_ids=given)


class TestLaziness:
    """Constructing an event evaluates nothing."""

    def test_an_iterator_is_read_when_it_is_recorded_and_kept(self):
        read = []

        def lines():
            read.append("contents")
            yield item()

        purchase = Purchase(**ORDER, contents=lines(), content_ids=iter("xy"))
        assert read == []
        first, second = (
            PurchasePayload.from_purchase(purchase, now=NOW, zone=UTC) for _ in range(2)
        )
        assert read == ["contents"]
        assert first == second
        assert [line.id for line in first.contents] == ["sku"]

    @pytest.mark.parametrize("event", [Purchase, ViewContent])
    def test_nothing_is_evaluated(self, event):
        def fail():
            raise AssertionError("evaluated")

        def lines():
            fail()
            yield

        fields = [field.name for field in dataclasses.fields(event)]
        event(**dict.fromkeys(fields, SimpleLazyObject(fail)))
        event(**dict.fromkeys(fields, lines()))
        lazy_object: Any = SimpleLazyObject(fail)
        Item(id=lazy_object, quantity=lazy_object, item_price=lazy_object)

    def test_an_order_with_a_wrong_required_value_reads_no_lines(self):
        problem_with(currency="US$", contents=(1 / 0 for _ in "a"))
        lines = iter("ab")
        problem_with(value=None, contents=lines)
        assert list(lines) == ["a", "b"]


def test_events_and_payloads_do_not_change():
    for frozen in (Purchase(**ORDER), Item(id="a"), check()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(frozen, dataclasses.fields(frozen)[0].name, "b")


def test_the_first_wrong_field_is_named():
    assert problem_with(order_id=None, value=None, currency=None).startswith(
        "order_id: "
    )


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
        payload = PurchasePayload.from_purchase(purchase, now=NOW, zone=BERLIN)
    except InvalidEvent as exc:
        fault = exc
    if fault is not None:
        optional = {"content_type", "content_ids", "num_items"}
        assert re.split(r"[.\[]", fault.field)[0] in fields.keys() - optional
        assert "contents" not in fault.field or "model instance" in fault.problem
        assert str(fault) == f"{fault.field}: {fault.problem}"
        return
    assert payload == PurchasePayload.from_purchase(purchase, now=NOW, zone=BERLIN)
    assert 0 < len(payload.order_id) <= 128
    assert 0 <= payload.value < 10**18
    assert payload.currency in CURRENCY_CODES
    assert 0 <= payload.event_time <= NOW.timestamp() + 300
    for line in payload.contents:
        assert 0 < len(line.id) <= 128
        assert 0 < line.quantity < 10**18
        assert line.item_price is None or 0 <= line.item_price < 10**18
    assert len(payload.notes) <= 6
    assert all(note.isprintable() for note in payload.notes)
    assert len(" ".join(payload.notes)) < 2000


@PATIENT
@given(st.tuples(*itertools.repeat(JUNK, 8)))
def test_constructing_never_raises(values):
    Purchase(**dict(zip(PLAUSIBLE, values, strict=True)))
