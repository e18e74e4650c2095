from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectly_tracking.api.landing import PARAMETERS, Landing
from connectly_tracking.api.payload import (
    MAX_REQUEST,
    PurchasePayload,
    ViewPayload,
    body_json,
    encode,
    fitted_body,
    fitted_payload,
    payload_json,
)
from connectly_tracking.api.values import CURRENCY_CODES
from connectly_tracking.events import Item, Purchase, ViewContent
from connectly_tracking.exceptions import InvalidEvent
from connectly_tracking.sandbox.rules import apply_rules

SECONDS = 1746480000
NOW = datetime.fromtimestamp(SECONDS + 60, UTC)
BUSINESS, KEY = "5f0c6f0e-2f3c-4b5e-9a53-0d5b1c9f8a11", "cnct-key"
CLICK = Landing(
    **dict.fromkeys(
        ("cnct_tracking_id", "sendout_id", "ctwa_clid", "ad_id"), "<value from URL>"
    )
)
# The seed's own words (seed: "Request body").
DOCUMENTED = """
{
  "cnct_tracking_id": "<value from URL>",
  "event_name": "Purchase",
  "sendout_id": "<value from URL>",
  "attribution": {
    "meta_ctwa": {
      "ctwa_clid": "<value from URL>",
      "ad_id": "<value from URL>"
    }
  },
  "payload": {
    "currency": "USD",
    "value": 99.97,
    "order_id": "ORD-7821",
    "content_type": "product",
    "content_ids": ["sku-1", "sku-2"],
    "num_items": 2,
    "contents": [
      { "id": "sku-1", "quantity": 1, "item_price": 49.99 },
      { "id": "sku-2", "quantity": 1, "item_price": 49.98 }
    ],
    "event_time": 1746480000
  }
}
"""
ITEMS = [
    Item(id="sku-1", item_price=Decimal("49.99")),
    Item(id="sku-2", item_price=Decimal("49.98")),
]
ORDER: dict[str, Any] = {
    "order_id": "ORD-7821",
    "value": Decimal("99.97"),
    "currency": "usd",
    "event_time": datetime(2025, 5, 5, 21, 20, tzinfo=UTC),
    "contents": ITEMS,
}


def body(landing=CLICK, **fields):
    purchase = Purchase(**ORDER | fields)
    return body_json(
        "Purchase",
        payload_json(PurchasePayload.from_purchase(purchase, now=NOW, zone=UTC)),
        landing,
    )


def details(**fields):
    return json.loads(body(**fields), parse_float=Decimal)["payload"]


def as_written(text):
    """Every key in its place, every number by its digits."""
    return json.loads(
        text,
        object_pairs_hook=list,
        parse_float=lambda digits: ("number", digits),
        parse_int=lambda digits: ("number", digits),
    )


def answer_to(text):
    """What the strict fake, which shares no code with us, says to a body."""
    answer = apply_rules(
        "POST",
        f"/external/v1/businesses/{BUSINESS}/conversion_events",
        {"x-api-key": KEY, "content-type": "application/json"},
        text.encode(),
        business_id=BUSINESS,
        api_key=KEY,
        now=NOW.timestamp(),
    )
    return answer.status, answer.body.decode()


CONFIRMED = (200, '{"events_received": 1}')


def test_the_documented_order_makes_the_documented_body():
    assert as_written(body()) == as_written(DOCUMENTED)
    assert json.loads(body()) == json.loads(DOCUMENTED)
    assert answer_to(body()) == CONFIRMED


def test_floats_and_generators_make_the_same_bytes():
    contents = (
        {"id": n, "item_price": p} for n, p in [("sku-1", 49.99), ("sku-2", 49.98)]
    )
    assert body(value=99.97, event_time=SECONDS + 0.5, contents=contents) == body()


def test_the_same_order_makes_the_same_bytes_each_time():
    assert body() == body()
    assert body().isascii()


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        (Decimal("12345678901234567.89"), "12345678901234567.89"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1.5E+3"), "1500"),
        (Decimal("1E-6"), "0.000001"),
        (Decimal("0.10"), "0.10"),
        (Decimal("99.970"), "99.970"),
        (Decimal("0E+5"), "0"),
        (Decimal("-0"), "0"),
        (1000, "1000"),
        (10**18 - 1, "999999999999999999"),
        (99.97, "99.97"),
        (0.1 + 0.2, "0.3"),
        (1e3, "1000.0"),
        (1e-7, "0"),
        (1e16, "10000000000000000"),
        ("19.99", "19.99"),
    ],
    ids=repr,
)
def test_an_amount_arrives_by_its_own_digits(value, digits):
    sent = as_written(body(value=value, contents=[Item(id="a", item_price=value)]))
    payload = dict(dict(sent)["payload"])
    assert payload["value"] == ("number", digits)
    (line,) = payload["contents"]
    assert dict(line)["item_price"] == ("number", digits)


IDS = [
    "a+b",
    "+",
    "a%2Bb",
    "a%252Bb",
    "a/b",
    "a==",
    "100%",
    "%",
    "_-~.",
    "ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LEkR7JwFF4XvnO2E4Nx0-eM",
    '"quoted"\\',
    "{0}{{x}}%(key)s",
    "</script><script>alert(1)</script>",
    "120210000000000000",
    "x" * 1024,
    "%" * 1024,
    '"' * 1024,
]


@pytest.mark.parametrize("value", IDS, ids=range(len(IDS)))
@pytest.mark.parametrize(
    "name", ["cnct_tracking_id", "sendout_id", "ctwa_clid", "ad_id"]
)
def test_an_id_arrives_as_it_was_captured(name, value):
    ids = {"cnct_tracking_id": "t", "sendout_id": "s", "ctwa_clid": "c", "ad_id": "a"}
    ids[name] = value
    text = body(Landing(**ids))
    sent = json.loads(text)
    meta = sent.pop("attribution")
    assert meta.keys() == {"meta_ctwa"}
    assert meta["meta_ctwa"].keys() == {"ctwa_clid", "ad_id"}
    assert {key: (sent | meta["meta_ctwa"])[key] for key in ids} == ids
    assert answer_to(text) == CONFIRMED


def test_the_source_is_not_sent():
    assert "attribution_source" not in body()


def test_an_order_without_items_leaves_them_out():
    keys = ["currency", "value", "order_id", "content_type", "event_time"]
    assert list(details(contents=())) == keys
    assert answer_to(body(contents=())) == CONFIRMED


def test_ids_and_number_are_sent_as_given():
    sent = details(contents=(), content_ids=["x"], num_items=Decimal("2.5"))
    assert sent["content_ids"] == ["x"]
    assert sent["num_items"] == Decimal("2.5")
    assert "contents" not in sent
    assert "content_ids" not in details(content_ids=[])


def test_a_price_that_is_not_known_is_left_out():
    assert details(contents=[Item(id="a")])["contents"] == [{"id": "a", "quantity": 1}]


def test_an_item_without_a_price_is_accepted():
    assert answer_to(body(contents=[Item(id="a")])) == CONFIRMED


def test_text_beyond_ascii_arrives_whole():
    sent = details(order_id="注文-é\u0301-😀", contents=[Item(id="ключ", item_price=1)])
    assert sent["order_id"] == "注文-é\u0301-😀"
    assert sent["content_ids"] == ["ключ"]


def test_an_order_of_a_hundred_items_is_one_event():
    text = body(contents=[Item(id=f"sku-{n}", item_price=1) for n in range(100)])
    assert len(json.loads(text)["payload"]["contents"]) == 100
    assert answer_to(text) == CONFIRMED


def fitted(landing=CLICK, **fields):
    """The payload that fits, and the request that fits."""
    purchase = Purchase(**ORDER | fields)
    part = fitted_payload(PurchasePayload.from_purchase(purchase, now=NOW, zone=UTC))
    whole = fitted_body("Purchase", part.text, landing)
    assert whole.text == body(landing, **fields)
    assert answer_to(whole.text) == CONFIRMED
    return part, whole


TOO_LONG = f"the request would be longer than {MAX_REQUEST} bytes."
WITHOUT_CONTENTS = f"contents was left out: {TOO_LONG}"
WITHOUT_BOTH = f"contents and content_ids were left out: {TOO_LONG}"


def test_a_body_of_the_greatest_size_is_made_and_with_one_byte_more_without_contents():
    items = [Item(id=f"{n:04}", item_price=Decimal("1.10")) for n in range(520)]

    def sized(landing):
        part, whole = fitted(landing, contents=items)
        assert part.notes == ()
        return whole

    room = MAX_REQUEST - len(sized(CLICK).text) + len("<value from URL>")
    full = dataclasses.replace(CLICK, cnct_tracking_id="x" * room)
    text, notes = sized(full)
    assert (len(text), notes) == (MAX_REQUEST, ())
    smaller, notes = sized(dataclasses.replace(full, ad_id=full.ad_id + "x"))
    assert notes == (WITHOUT_CONTENTS,)
    before, after = (as_written(one) for one in (text, smaller))
    whole, less = (dict(dict(one)["payload"]) for one in (before, after))
    assert whole.pop("contents")
    assert list(whole.items()) == list(less.items())


def test_a_thousand_items_are_sent_by_their_ids_alone():
    items = [Item(id=f"sku-{n}", quantity=2, item_price=1) for n in range(1000)]
    part, whole = fitted(contents=items)
    assert (part.notes, whole.notes) == ((WITHOUT_CONTENTS,), ())
    sent = json.loads(whole.text)["payload"]
    assert "contents" not in sent
    assert sent["content_ids"] == [f"sku-{n}" for n in range(1000)]
    assert sent["num_items"] == 2000


@pytest.mark.parametrize("number", [5000, 10_000])
def test_ids_that_are_too_many_are_left_out_too(number):
    part, whole = fitted(contents=[Item(id=f"sku-{n}") for n in range(number)])
    assert (part.notes, whole.notes) == ((WITHOUT_BOTH,), ())
    sent = json.loads(whole.text)["payload"]
    assert sent.keys() == {*json.loads(DOCUMENTED)["payload"]} - {
        "contents",
        "content_ids",
    }
    assert sent["num_items"] == number


def test_a_click_of_the_greatest_size_costs_the_contents_and_not_the_order():
    click = Landing(**dict.fromkeys(PARAMETERS, '"' * 1024))
    ids = [f"{n:04}" for n in range(3_500)]
    part, whole = fitted(click, contents=[Item(id="a")], content_ids=ids)
    assert (part.notes, whole.notes) == ((), (WITHOUT_BOTH,))
    order_id = "\U0001f600" * 128
    part, whole = fitted(click, order_id=order_id, content_type=order_id)
    assert (part.notes, whole.notes) == ((), ())


def test_the_notes_about_the_order_come_first():
    items = [Item(id=f"sku-{n}", item_price=1) for n in range(1000)]
    part, _whole = fitted(contents=[*items, Item(id="DISCOUNT", item_price=-10)])
    assert part.notes == (
        "contents[1000] (id 'DISCOUNT') was left out: item_price must not be negative.",
        WITHOUT_CONTENTS,
    )


def test_a_view_loses_its_contents_but_not_its_ids():
    def view(number):
        lines = [Item(id=f"sku-{n}", item_price=1) for n in range(number)]
        checked = ViewPayload.from_view(ViewContent(contents=lines), now=NOW, zone=UTC)
        return fitted_payload(checked)

    assert view(1000).notes == (WITHOUT_CONTENTS,)
    assert len(json.loads(view(1000).text)["content_ids"]) == 1000
    with pytest.raises(InvalidEvent, match="content_ids: makes a request of"):
        view(5000)


class TestEncode:
    @pytest.mark.parametrize(
        "value",
        [{}, [], {"a": []}, "", "\x00\ud800é", True, None, 10**30, 1.5, -0.5],
        ids=repr,
    )
    def test_what_is_no_decimal_is_ordinary_json(self, value):
        assert encode(value) == json.dumps(value)
        assert encode({"a": [value, value]}) == json.dumps({"a": [value, value]})

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_a_float_that_is_no_number_is_not_written(self, value):
        with pytest.raises(ValueError, match="not JSON compliant"):
            encode([value])

    @pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity"])
    def test_a_decimal_that_is_no_number_is_not_written(self, value):
        with pytest.raises(ValueError, match="JSON has no"):
            encode([Decimal(value)])

    numbers = st.integers() | st.decimals(allow_nan=False, allow_infinity=False)
    documents = st.recursive(
        numbers | st.text() | st.booleans() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )

    @given(documents)
    def test_what_is_read_back_is_equal_to_the_last_digit(self, document):
        assert json.loads(encode(document), parse_float=Decimal) == document

    @given(st.decimals(allow_nan=False, allow_infinity=False))
    def test_a_decimal_has_no_exponent_and_keeps_its_zeros(self, number):
        assert set(encode(number)) <= set("-.0123456789")
        assert format(Decimal(encode(number)), "f") == encode(number)


amounts = st.decimals(0, 10**12, places=2) | st.integers(0, 10**12)
names = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]),
    min_size=1,
    max_size=128,
)
lines = st.builds(
    Item,
    id=names,
    quantity=st.integers(1, 10**6) | st.decimals("0.001", 99, places=3),
    item_price=amounts,
)
ascii_ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.builds(
        Landing,
        cnct_tracking_id=ascii_ids,
        sendout_id=ascii_ids,
        ctwa_clid=ascii_ids,
        ad_id=ascii_ids,
    ),
    st.fixed_dictionaries(
        {
            "order_id": names,
            "value": amounts,
            "currency": st.sampled_from(sorted(CURRENCY_CODES)),
            "event_time": st.integers(1, SECONDS),
            "contents": st.lists(lines, max_size=20),
        }
    ),
)
def test_any_good_order_arrives_equal_and_is_accepted(landing, order):
    text = body(landing, **order)
    sent = json.loads(text, parse_float=Decimal)["payload"]
    for key in ("order_id", "value", "currency", "event_time"):
        assert sent[key] == order[key]
    for line, item in zip(sent.get("contents", []), order["contents"], strict=True):
        assert line["id"] == item.id
        assert (line["quantity"], line["item_price"]) == (
            item.quantity,
            item.item_price,
        )
    assert sent.get("num_items", 0) == sum(item.quantity for item in order["contents"])
    assert answer_to(text) == CONFIRMED
