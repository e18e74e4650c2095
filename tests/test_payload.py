from __future__ import annotations

import dataclasses
import itertools
import re
from datetime import UTC
from decimal import Decimal
from types import MappingProxyType, SimpleNamespace

import pytest
from django.utils.functional import lazystr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectly_tracking.api.payload import ContentLine, PurchasePayload
from connectly_tracking.api.values import CURRENCY_CODES
from connectly_tracking.events import Item, Purchase
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
    problem_with,
)

NO_SET = "must be a list; a set drops equal lines and their order"
NO_ITEM = "must be an Item or a mapping, not"


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
            ([None], "[0]"),
            ([["sku"]], "[0]"),
        ],
        ids=named,
    )
    def test_what_is_no_list_is_refused_with_words(self, field, given, words):
        assert words in problem_with(**{field: given})

    def test_what_cannot_be_read_is_refused_and_says_why_to_developers(self):
        with pytest.raises(InvalidEvent, match="contents: could not be read") as caught:
            check(contents=fails_midway())
        assert repr(caught.value.__cause__) == 'RuntimeError("the shop\'s own bug")'

    def test_none_is_no_list_of_items(self):
        assert problem_with(contents=None) == "contents: must be a list, not None"

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (None, f"{NO_ITEM} None"),
            ("sku", f"{NO_ITEM} 'sku'"),
            (
                SimpleNamespace(id=1),
                f"{NO_ITEM} SimpleNamespace",
            ),
            (Model(), "is a model instance (Model) and its id is its primary key; p"),
            (
                {"id": "a", "price": 1, "qty": 2},
                "has unknown keys: 'price', 'qty'; an",
            ),
            ({5: 6}, "has unknown keys: int; an item has id, quantity, item_price"),
            ({}, "id: must be a string, not None"),
            ({"quantity": 1}, "id: must be a string, not None"),
            (item(id=""), "id: must not be empty"),
            (item(id=True), "id: must be a string, not bool"),
            (item(id="x" * 129), "id: must have at most 128 characters, not 129"),
            (item(id="a\x00"), "id: must not contain control characters"),
            (Item(id=None, quantity=0), "id: must be a string, not None"),  # type: ignore[arg-type]
            (
                item(quantity="many"),
                "quantity: must be a number, such as",
            ),
        ],
        ids=named,
    )
    def test_a_bad_item_is_named_by_its_place(self, given, words):
        found = problem_with(contents=[item(), given])
        assert found.removeprefix("contents[1]").lstrip(".: ").startswith(words)
        assert found.startswith("contents[1]")

    def test_a_bad_content_id_is_named_by_its_place(self):
        assert (
            problem_with(content_ids=["a", ""]) == "content_ids[1]: must not be empty"
        )

    @pytest.mark.parametrize("given", [None, "", 5.5, "a\nb", "x" * 129])
    def test_a_content_type_is_a_short_text(self, given):
        assert problem_with(content_type=given).startswith("content_type: ")
        assert check(content_type="product_group").content_type == "product_group"

    @pytest.mark.parametrize("key", ["a\x00b", "a\r\nERROR forged line", "x" * 5000])
    def test_a_reason_can_be_stored_and_logged_whatever_the_key(self, key):
        found = problem_with(contents=[item(**{key: 1})])
        assert found.isprintable()
        assert len(found) < 1000

    def test_a_key_too_long_to_print_is_refused_with_words(self):
        assert "unknown keys" in problem_with(contents=[{10**5000: 1}])

    @pytest.mark.parametrize("given", [bytearray(b"sku")], ids=named)
    def test_a_row_of_bytes_or_numbers_is_no_list_of_ids(self, given):
        problem_with(content_ids=given)


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
        assert re.split(r"[.\[]", fault.field)[0] in fields
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


@PATIENT
@given(st.tuples(*itertools.repeat(JUNK, 8)))
def test_constructing_never_raises(values):
    Purchase(**dict(zip(PLAUSIBLE, values, strict=True)))
