from __future__ import annotations

import dataclasses
import doctest
import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectly_tracking.api import landing as module
from connectly_tracking.api.landing import (
    MAX_QUERY,
    MAX_VALUE,
    PARAMETERS,
    Landing,
    Refusal,
    parse_params,
    parse_query,
)

COMPLETE = Landing(cnct_tracking_id="t", sendout_id="s", ctwa_clid="c", ad_id="a")

KEPT = {
    "%2B": "+",
    "%2F": "/",
    "%3D": "=",
    "%26": "&",
    "%25": "%",
    "%252B": "%2B",
    "%25252B": "%252B",
    "a+b": "a+b",
    "a+b%2Bc": "a+b+c",
    "+": "+",
    "a=b==": "a=b==",
    "=x": "=x",
    "a/b_c-d.e~f": "a/b_c-d.e~f",
    "a;b": "a;b",
    "a;sendout_id=b": "a;sendout_id=b",
    "a?b#c": "a?b#c",
    "%": "%",
    "%zz": "%zz",
    "%4": "%4",
    "%u2603": "%u2603",
    "50%off": "50%off",
    "%2b%2B": "++",
    "%41%7e%21": "A~!",
    "{0}": "{0}",
    "{}": "{}",
    "%(key)s": "%(key)s",
    "%25(key)s": "%(key)s",
    "javascript:alert(1)": "javascript:alert(1)",
    "<script>alert(1)</script>": "<script>alert(1)</script>",
    "%3Cimg/src=x%3E'\"": "<img/src=x>'\"",
    "=1+1": "=1+1",
    "-1": "-1",
    "@x": "@x",
    "nullable": "nullable",
    "nulls": "nulls",
    "x{{y}}": "x{{y}}",
    "0": "0",
    "x" * MAX_VALUE: "x" * MAX_VALUE,
    "%2B" * MAX_VALUE: "+" * MAX_VALUE,
}

REFUSED = {
    "": ("empty", 0),
    "x" * (MAX_VALUE + 1): ("too_long", MAX_VALUE + 1),
    "%2B" * (MAX_VALUE + 1): ("too_long", MAX_VALUE + 1),
    "a%00b": ("not_printable_ascii", 3),
    "a\x00b": ("not_printable_ascii", 3),
    "a%0D%0Ab": ("not_printable_ascii", 4),
    "a%0A": ("not_printable_ascii", 2),
    "a\n": ("not_printable_ascii", 2),
    "%1B[31m": ("not_printable_ascii", 5),
    "%7F": ("not_printable_ascii", 1),
    "%ff%fe": ("not_printable_ascii", 2),
    "%C3%A9": ("not_printable_ascii", 2),
    "\ud800": ("not_printable_ascii", 1),
    "\udcff%41": ("not_printable_ascii", 4),
    "%ED%A0%80": ("not_printable_ascii", 3),
    "a\u200fb": ("not_printable_ascii", 3),
    "a%E2%80%8Fb": ("not_printable_ascii", 5),
    "a\uff0bb": ("not_printable_ascii", 3),
    "%EF%BC%8B": ("not_printable_ascii", 3),
    "\xc3\xa9": ("not_printable_ascii", 2),
    "\u2603": ("not_printable_ascii", 1),
    "%20a": ("not_printable_ascii", 2),
    "a%20": ("not_printable_ascii", 2),
    "a b": ("not_printable_ascii", 3),
    "%09": ("not_printable_ascii", 1),
    "{{7*7}}": ("placeholder", 7),
    "%7B%7Bad.id%7D%7D": ("placeholder", 9),
    "{{}}": ("placeholder", 4),
    "${ad}": ("placeholder", 5),
    "<ad_id>": ("placeholder", 7),
    "%3Cad_id%3E": ("placeholder", 7),
    "<script>": ("placeholder", 8),
    "<value%20from%20URL>": ("not_printable_ascii", 16),
    "%%track%%": ("placeholder", 9),
    "%%AD_ID%%": ("not_printable_ascii", 7),
    "[[ad]]": ("placeholder", 6),
    "null": ("placeholder", 4),
    "NULL": ("placeholder", 4),
    "(null)": ("placeholder", 6),
    "None": ("placeholder", 4),
    "nil": ("placeholder", 3),
    "NaN": ("placeholder", 3),
    "undefined": ("placeholder", 9),
}


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize(("raw", "value"), KEPT.items(), ids=range(len(KEPT)))
def test_a_value_is_kept_verbatim_after_one_decoding(raw, value, name):
    found, refused = parse_query(f"cnct_tracking_id=t&{name}={raw}")
    assert getattr(found, name) == value
    assert refused == ()


@pytest.mark.parametrize("name", PARAMETERS[1:])
@pytest.mark.parametrize(("raw", "why"), REFUSED.items(), ids=range(len(REFUSED)))
def test_a_value_that_is_not_kept_is_absent_and_reported(raw, why, name):
    reason, length = why
    found, refused = parse_query(f"cnct_tracking_id=t&{name}={raw}")
    assert found == Landing(cnct_tracking_id="t")
    assert refused == (Refusal(name, length, reason),)


@pytest.mark.parametrize(("raw", "why"), REFUSED.items(), ids=range(len(REFUSED)))
def test_without_a_valid_tracking_id_there_is_no_landing(raw, why):
    reason, length = why
    found, refused = parse_query(f"sendout_id=s&cnct_tracking_id={raw}&ad_id=9")
    assert found is None
    assert refused == (Refusal("cnct_tracking_id", length, reason),)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "&",
        "&&=&",
        "cnct_tracking_id",
        "cnct_tracking_id&sendout_id=s",
        "=cnct_tracking_id",
        "=x",
        "CNCT_TRACKING_ID=x",
        "Cnct_tracking_id=x",
        "cnct_tracking_id[]=x",
        "cnct_tracking_id%3Dx",
        "cnct_tracking%5Fid=x",
        " cnct_tracking_id=x",
        "cnct_tracking_id =x",
        "?cnct_tracking_id=x",
        "xcnct_tracking_id=x",
        "a=1;cnct_tracking_id=x",
        "sendout_id=s&ctwa_clid=c&ad_id=a&attribution_source=meta_ctwa",
    ],
)
def test_the_name_must_stand_there_exactly_with_a_value(query):
    assert parse_query(query) == (None, ())


@pytest.mark.parametrize("times", [2, 200])
def test_the_last_of_several_wins(times):
    query = "&".join(f"cnct_tracking_id=id-{n}" for n in range(times))
    assert parse_query(query) == (Landing(cnct_tracking_id=f"id-{times - 1}"), ())


def test_the_last_of_several_wins_even_where_it_is_refused():
    found, refused = parse_query(
        "cnct_tracking_id=x&ad_id=1&ad_id=&cnct_tracking_id=null"
    )
    assert found is None
    assert set(refused) == {
        Refusal("cnct_tracking_id", 4, "placeholder"),
        Refusal("ad_id", 0, "empty"),
    }


def test_a_name_alone_does_not_take_back_an_earlier_value():
    assert parse_query("cnct_tracking_id=x&cnct_tracking_id")[0] == Landing(
        cnct_tracking_id="x"
    )


def test_a_thousand_other_parameters_do_not_hide_a_landing():
    query = "&".join(["p=1"] * 500 + ["cnct_tracking_id=x"] + ["q=2"] * 500)
    assert parse_query(query) == (Landing(cnct_tracking_id="x"), ())


def test_five_escaped_values_of_full_length_are_kept():
    query = "&".join(f"{name}={'%2B' * MAX_VALUE}" for name in PARAMETERS)
    found, refused = parse_query(query)
    assert (found and found.size, refused) == (5 * MAX_VALUE, ())


def test_a_query_of_the_greatest_length_is_read():
    query = "cnct_tracking_id=x&pad=".ljust(MAX_QUERY, "p")
    assert parse_query(query)[0] == Landing(cnct_tracking_id="x")


def test_a_value_has_at_most_1024_characters_and_a_query_16384():
    longest = "x" * 1024
    assert parse_query(f"cnct_tracking_id={longest}")[0] == Landing(
        cnct_tracking_id=longest
    )
    assert parse_query(f"cnct_tracking_id={longest}x") == (
        None,
        (Refusal("cnct_tracking_id", 1025, "too_long"),),
    )
    query = "cnct_tracking_id=x&pad=".ljust(16_384, "p")
    assert parse_query(query)[0] == Landing(cnct_tracking_id="x")
    assert parse_query(f"{query}p") == (None, (Refusal("query", 16_385, "too_long"),))


@pytest.mark.parametrize("length", [MAX_QUERY + 1, 100_000, 1_000_000])
def test_a_longer_query_is_refused_as_a_whole(length):
    query = "cnct_tracking_id=x&pad=".ljust(length, "p")
    assert parse_query(query) == (None, (Refusal("query", length, "too_long"),))


def test_a_missing_source_is_that_of_the_api_and_another_is_kept_unreportable():
    ids = "cnct_tracking_id=t&sendout_id=s&ctwa_clid=c&ad_id=a"
    assert parse_query(ids) == (COMPLETE, ())
    assert COMPLETE.is_reportable
    found, _ = parse_query(f"{ids}&attribution_source=META_CTWA")
    assert found == dataclasses.replace(COMPLETE, attribution_source="META_CTWA")
    assert not found.is_reportable
    assert found.missing == ()


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_landing_that_lacks_a_value_says_which_and_is_not_reportable(name):
    lacking = dataclasses.replace(COMPLETE, **{name: ""})  # type: ignore[arg-type]
    assert lacking.missing == (name,)
    assert not lacking.is_reportable


def test_the_size_is_the_characters_of_all_five():
    assert COMPLETE.size == len("tsca" + "meta_ctwa")


def test_a_landing_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        COMPLETE.ad_id = "b"  # type: ignore[misc]


def test_what_somebody_else_has_decoded_is_not_decoded_again():
    params = dict.fromkeys(PARAMETERS, "%2B+") | {"utm_source": "x"}
    assert parse_params(params) == (Landing(**dict.fromkeys(PARAMETERS, "%2B+")), ())


@pytest.mark.parametrize("value", [None, 5, True, b"x", ["x"], {"x": 1}, 1.5, object()])
def test_a_decoded_value_that_is_no_text_is_refused(value):
    found, refused = parse_params({"cnct_tracking_id": "t", "ad_id": value})
    assert found == Landing(cnct_tracking_id="t")
    assert refused == (Refusal("ad_id", 0, "not_text"),)
    assert parse_params({"cnct_tracking_id": value})[0] is None


@pytest.mark.parametrize(("raw", "why"), REFUSED.items(), ids=range(len(REFUSED)))
def test_decoded_values_go_by_the_same_rules(raw, why):
    value = unquote(raw, "latin-1")
    found, refused = parse_params({"cnct_tracking_id": "t", "sendout_id": value})
    assert found == Landing(cnct_tracking_id="t")
    assert [(one.name, one.reason) for one in refused] == [("sendout_id", why[0])]


def test_an_empty_mapping_is_no_landing():
    assert parse_params({}) == (None, ())


def test_a_refusal_never_carries_the_value():
    _, refused = parse_query("cnct_tracking_id=secret%20words&ad_id=secret\x00words")
    assert len(refused) == 2
    assert "secret" not in repr(refused)


def test_the_example_in_the_docstring_is_true():
    assert doctest.testmod(module) == doctest.TestResults(failed=0, attempted=2)


VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
names = st.sampled_from([*PARAMETERS, "utm_source", "cnct_tracking_id[]", ""])
values = st.one_of(
    st.text(),
    st.binary().map(lambda raw: raw.decode("latin-1")),
    st.binary().map(lambda raw: quote(raw)),
    st.text("%0123456789abcdefABCDEF+&=;"),
    st.text(VISIBLE),
    st.sampled_from([*KEPT, *REFUSED]),
)
queries = st.lists(
    st.tuples(names, st.sampled_from(["=", "", "=="]), values).map("".join)
).map("&".join)


@given(queries | st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
@example("cnct_tracking_id=\ud800%ff")
def test_any_query_gives_what_stood_in_the_url_or_nothing(query):
    found, refused = parse_query(query)
    doubted = {one.name for one in refused}
    for name in PARAMETERS if found else ():
        value = getattr(found, name)
        stood = re.findall(rf"(?:^|&){name}=([^&]*)", query)
        if stood and name not in doubted:
            assert value == unquote(stood[-1], "latin-1")
            assert re.fullmatch("[!-~]{1,1024}", value)
        else:
            assert value == ("meta_ctwa" if name == "attribution_source" else "")
    if found is None and not refused:
        assert not re.search(r"(?:^|&)cnct_tracking_id=", query)


@given(st.text(VISIBLE, min_size=1))
@example("{{x}}")
def test_what_is_quoted_comes_back(value):
    found, refused = parse_query(f"cnct_tracking_id={quote(value, safe='')}")
    if found is None:
        assert refused == (Refusal("cnct_tracking_id", len(value), "placeholder"),)
    else:
        assert found.cnct_tracking_id == value


@given(st.dictionaries(names, st.text() | st.integers() | st.none() | st.binary()))
def test_any_mapping_gives_its_own_values_or_nothing(params):
    found, refused = parse_params(params)
    assert {one.name for one in refused} <= set(params) & set(PARAMETERS)
    for name in PARAMETERS if found else ():
        value = getattr(found, name)
        assert value in ("", "meta_ctwa") or value == params[name]
