from __future__ import annotations

import dataclasses
import doctest
import re
import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import quote, unquote

import pytest
from django.http import HttpResponse
from hypothesis import example, given
from hypothesis import strategies as st

from connectly_tracking.api import landing as module
from connectly_tracking.api.landing import (
    MAX_QUERY,
    MAX_VALUE,
    PARAMETERS,
    Landing,
    Note,
    parse_params,
    parse_query,
    read_url,
)
from connectly_tracking.middleware import AttributionMiddleware

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
    "a%3Fb%23c": "a?b#c",
    "a%3Fb=c%26d=e": "a?b=c&d=e",
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
    "%3Cimg/src=x%3E'%22": "<img/src=x>'\"",
    "_-~": "_-~",
    "a.b.c.": "a.b.c.",
    "abcde.": "abcde.",
    ".": ".",
    "AfA_": "AfA_",
    "AfA-": "AfA-",
    "AfA~": "AfA~",
    "AfA/": "AfA/",
    "AfA%29": "AfA)",
    "AfA%2E": "AfA.",
    "120%2C": "120,",
    "AfA%22": 'AfA"',
    "f(x)": "f(x)",
    "f(g[0])": "f(g[0])",
    "s'it'": "s'it'",
    "*x*": "*x*",
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

#: As chat programs, mails and Markdown put them behind a link.
GLUED = [
    *")]}>,;!*:`'\"",
    ").",
    ".)",
    ");",
    "!!!",
    "...",
    ".",
    "**",
    "''",
    '")',
    "%E2%80%9D",
    "%e2%80%9d",
    "%E2%80%A6",
    "%E2%80%8B",
    "%C2%BB",
    "%C2%A0",
    "%E3%80%82",
    "%EF%BC%89",
    "%EF%BB%BF",
    "%E2%80%9D).",
]

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
    assert refused == (Note(name, length, reason),)


@pytest.mark.parametrize(("raw", "why"), REFUSED.items(), ids=range(len(REFUSED)))
def test_without_a_valid_tracking_id_there_is_no_landing(raw, why):
    reason, length = why
    found, refused = parse_query(f"sendout_id=s&cnct_tracking_id={raw}&ad_id=9")
    assert found is None
    assert refused == (Note("cnct_tracking_id", length, reason),)


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
        " cnct_tracking_id=x",
        "cnct_tracking_id =x",
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


@pytest.mark.parametrize(
    "worse", ["", "null", "{{ad.id}}", "%00", "a%20b", "x" * 1025, "%E2%98%83"]
)
def test_the_last_value_that_can_be_used_wins(worse):
    landing = Landing(cnct_tracking_id="x", ad_id="2")
    after = f"cnct_tracking_id=x&ad_id=1&ad_id=2&ad_id={worse}&ad_id={worse}"
    found, notes = parse_query(after)
    assert found == landing
    assert [one.name for one in notes] == (["ad_id"] if worse else [])
    before = f"ad_id={worse}&ad_id={worse}&cnct_tracking_id=x&ad_id=1&ad_id=2"
    assert parse_query(before) == (landing, ())


def test_of_several_values_that_cannot_be_used_the_last_is_reported():
    found, refused = parse_query(
        "cnct_tracking_id=null&cnct_tracking_id=&ad_id=&ad_id=&sendout_id=%00"
    )
    assert found is None
    assert refused == (
        Note("cnct_tracking_id", 4, "placeholder"),
        Note("sendout_id", 1, "not_printable_ascii"),
        Note("ad_id", 0, "empty"),
    )


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
    assert (found and sum(map(len, found.values)), refused) == (5 * MAX_VALUE, ())


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
        (Note("cnct_tracking_id", 1025, "too_long"),),
    )
    query = "cnct_tracking_id=x&pad=".ljust(16_384, "p")
    assert parse_query(query)[0] == Landing(cnct_tracking_id="x")
    assert parse_query(f"{query}p") == (None, (Note("query", 16_385, "too_long"),))


@pytest.mark.parametrize("length", [MAX_QUERY + 1, 100_000, 1_000_000])
def test_a_longer_query_is_refused_as_a_whole(length):
    query = "cnct_tracking_id=x&pad=".ljust(length, "p")
    assert parse_query(query) == (None, (Note("query", length, "too_long"),))


def test_a_missing_source_is_that_of_the_api_and_another_is_kept_unreportable():
    ids = "cnct_tracking_id=t&sendout_id=s&ctwa_clid=c&ad_id=a"
    assert parse_query(ids) == (COMPLETE, ())
    assert COMPLETE.is_reportable
    found, _ = parse_query(f"{ids}&attribution_source=meta_ctwa_2")
    assert found == dataclasses.replace(COMPLETE, attribution_source="meta_ctwa_2")
    assert not found.is_reportable
    assert found.missing == ()


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_landing_that_lacks_a_value_says_which_and_is_not_reportable(name):
    lacking = dataclasses.replace(COMPLETE, **{name: ""})  # type: ignore[arg-type]
    assert lacking.missing == (name,)
    assert not lacking.is_reportable


def test_the_values_are_in_the_order_of_the_parameters():
    assert COMPLETE.values == ("t", "s", "c", "a", "meta_ctwa")


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
    assert refused == (Note("ad_id", 0, "not_text"),)
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


IDS = "cnct_tracking_id=t&sendout_id=s&ctwa_clid=c&ad_id=a"
LINK = f"{IDS}&attribution_source=meta_ctwa"


@pytest.mark.parametrize(
    "text",
    [
        f"https://shop.example/promo/summer/?{LINK}#top",
        f"https://shop.example/#/product?{LINK}",
        f"https://shop.example/#{LINK}",
        f"https://shop.example/#!/a?b=c&{LINK}&d",
        f"https://user:pw@shop.example:8443/?{LINK}",
        f"?{LINK}",
        f"ref=wa?{LINK}",
        f"ref=wa?&{LINK}?utm_source=whatsapp",
        f"{LINK}?utm_source=whatsapp&utm_medium=cpc",
        f"{LINK}??x",
        f"ref=wa%3F{LINK}",
        f"ref=wa%3f{LINK}",
        f"a=1%26{LINK}",
        f"a=1%26amp%3B{LINK}",
        LINK.replace("&", "&amp;"),
        LINK.replace("&", "&amp;amp;"),
        LINK.replace("&", "&AMP;"),
        LINK.replace("&", "&amp%3B"),
        LINK.replace("&", "%26"),
        LINK.replace("&", "&#38;"),
        LINK.replace("&", "&#038;"),
        LINK.replace("&", "&#x26;"),
        LINK.replace("&", "&&"),
        LINK.replace("&", "?"),
        LINK.replace("_", "%5F").replace("meta%5F", "meta_"),
        LINK.replace("_", "%5f").replace("meta%5f", "meta_"),
        LINK.replace("cnct", "%63nct"),
        f"{LINK}&ad_id=&ctwa_clid=&sendout_id=&cnct_tracking_id=",
        f"ad_id=&ctwa_clid=&sendout_id=&cnct_tracking_id=&{LINK}",
    ],
)
def test_a_link_that_was_put_together_wrongly_is_read(text):
    assert parse_query(text) == (COMPLETE, ())
    assert read_url(text) == (COMPLETE, (), "")


@pytest.mark.parametrize("tail", GLUED, ids=ascii)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ad_id", "120210000000000123"),
        ("ctwa_clid", "AfA_x-9"),
        ("sendout_id", "send-1"),
    ],
)
@pytest.mark.parametrize("end", ["", "?utm_source=whatsapp", "#top"])
def test_closing_punctuation_is_cut_from_the_last_value_and_noted(
    name, value, tail, end
):
    found, notes = parse_query(f"cnct_tracking_id=t&{name}={value}{tail}{end}")
    assert found == Landing(**{"cnct_tracking_id": "t", name: value})
    assert notes == (Note(name, len(tail), "punctuation_cut"),)
    assert notes[0].is_repair


def test_of_many_links_each_name_is_noted_once():
    query = "cnct_tracking_id=t" + "?ad_id=9.?sendout_id=s)" * 400
    found, notes = parse_query(query)
    assert found == Landing(cnct_tracking_id="t", sendout_id="s", ad_id="9")
    assert notes == (
        Note("ad_id", 1, "punctuation_cut"),
        Note("sendout_id", 1, "punctuation_cut"),
    )


@pytest.mark.parametrize("tail", ["_", "~", "-", "/", "%22", "%27", "%3E", "+", "=._*"])
def test_after_the_digits_of_an_ad_any_punctuation_is_cut(tail):
    found, notes = parse_query(f"cnct_tracking_id=t&ad_id=120210{tail}")
    assert found == Landing(cnct_tracking_id="t", ad_id="120210")
    assert notes == (Note("ad_id", len(tail), "punctuation_cut"),)


@pytest.mark.parametrize("value", ["a,", "b)", "9.", "12!", "x%E2%80%9D"])
def test_only_the_last_value_of_a_link_is_cut(value):
    found, _ = parse_query(f"cnct_tracking_id=t&sendout_id={value}&ad_id=9")
    whole = unquote(value, "latin-1")
    assert found is not None
    assert found.sendout_id == (whole if whole.isascii() else "")


@pytest.mark.parametrize("value", [")", "!!!", ",", "%E2%80%9D)", "),", '"', "}>"])
def test_a_value_of_nothing_but_closing_punctuation_is_absent(value):
    found, notes = parse_query(f"cnct_tracking_id=t&ad_id={value}")
    assert found == Landing(cnct_tracking_id="t")
    assert notes == (
        Note("ad_id", len(value), "punctuation_cut"),
        Note("ad_id", 0, "empty"),
    )


@pytest.mark.parametrize(
    "source",
    [
        "META_CTWA",
        "Meta_Ctwa",
        "meta_ctwa/",
        "META_CTWA//",
        "meta_ctwa_",
        "meta_ctwa%22",
        "meta_ctwa%20",
        "meta_ctwa+",
        "meta_ctwa%0A",
        "meta_ctwa%E2%80%9D",
        "meta_ctwa\u201d",
        "meta_ctwa&attribution_source=",
    ],
)
def test_the_source_is_compared_without_case_and_without_a_tail(source):
    found, notes = parse_query(f"{IDS}&attribution_source={source}")
    assert found is not None
    assert found == COMPLETE
    assert found.is_reportable
    assert {one.is_repair for one in notes} <= {True}
    assert bool(notes) == ("&" not in source)


@pytest.mark.parametrize(
    "source", ["meta", "meta_ctwa_2", "meta_ctwa/x", "xmeta_ctwa", "metactwa", "_"]
)
def test_another_source_is_another_source(source):
    found, notes = parse_query(f"{IDS}&attribution_source={source}")
    assert found is not None
    assert (found.attribution_source, notes) == (source, ())
    assert not found.is_reportable


def test_decoded_values_are_repaired_where_that_needs_no_link():
    found, notes = parse_params(
        {
            "cnct_tracking_id": "t)",
            "amp;sendout_id": "s",
            "amp;ad_id": "a",
            "ad_id": "",
            "attribution_source": "Meta_CTWA/",
        }
    )
    assert found == Landing(cnct_tracking_id="t)", sendout_id="s", ad_id="a")
    assert notes == (Note("attribution_source", 10, "normalized"),)


class TestReadUrl:
    @pytest.mark.parametrize(
        "path",
        [
            f"/promo?{LINK}",
            f"/promo/?{LINK}/",
            f"/promo/&{LINK}",
            f"/promo/&amp;{LINK}?utm_source=x",
            f"/p/?{IDS.replace('ad_id=a', 'ad_id=9')}",
            f"/p/?{IDS.replace('ad_id=a', 'ad_id=9')}/",
        ],
    )
    def test_a_link_that_encoded_its_question_mark_is_found_in_the_path(self, path):
        found = read_url("", path)
        assert (found.landing and found.landing.is_reportable, found.lost) == (True, "")
        assert read_url("utm_source=x", path).landing == found.landing

    def test_the_query_goes_before_the_path(self):
        assert read_url(LINK, "/?cnct_tracking_id=other").landing == COMPLETE

    @pytest.mark.parametrize(
        ("query", "path", "why"),
        [
            ("cnct_tracking_id=", "/", "empty"),
            ("cnct_tracking_id=null", "/", "placeholder"),
            ("cnct_tracking_id=%00", "/", "not_printable_ascii"),
            ("cnct_tracking_id=)", "/", "empty"),
            (f"cnct_tracking_id={'x' * 1025}", "/", "too_long"),
            (f"cnct_tracking_id=x&{'x' * MAX_QUERY}", "/", "too_long"),
            ("cnct_tracking_id", "/", "not_a_parameter"),
            ("cnct_tracking_id[]=x", "/", "not_a_parameter"),
            ("xcnct_tracking_id=x", "/", "not_a_parameter"),
            ("a=1;cnct_tracking_id=x", "/", "not_a_parameter"),
            (" cnct_tracking_id=x", "/", "not_a_parameter"),
            ("cnct-tracking-id=x", "/", "not_a_parameter"),
            ("CNCT_TRACKING_ID=x", "/", "other_case"),
            ("Cnct_Tracking_Id=x", "/", "other_case"),
            (quote(LINK, safe=""), "/", "encoded"),
            (f"next={quote(f'/promo/?{LINK}', safe='')}", "/login/", "in_a_value"),
            (f"utm_source=wa&{quote(LINK, safe='')}", "/", "encoded"),
            (LINK.replace("_", "%255F"), "/", "encoded"),
            ("", f"/{LINK}", "not_a_parameter"),
            ("", f"/?{LINK.upper()}", "other_case"),
            ("", "/?cnct_tracking_id=a%2Bb", "unclear_path"),
            ("", "/?cnct_tracking_id=a&b&ad_id=9", "unclear_path"),
            ("", "/?ad_id=9&cnct_tracking_id=a/", "unclear_path"),
            ("", "/?cnct_tracking_id=\u2603", "not_printable_ascii"),
        ],
    )
    def test_a_tagged_url_that_gives_nothing_says_why(self, query, path, why):
        assert is_looked_at(query, path)
        found = read_url(query, path)
        assert (found.landing, found.lost) == (None, why)

    @pytest.mark.parametrize("query", ["", "q=cnct", "a=1&b", "cnct=1", "cnct_id=5"])
    @pytest.mark.parametrize("path", ["/", "/connect/", "/cnct/", "/%"])
    def test_an_untagged_url_lost_nothing(self, query, path):
        assert read_url(query, path) == (None, (), "")
        tagged = "cnct" in query or "cnct" in path
        assert is_looked_at(query, path) == tagged


def is_looked_at(query: str, path: str) -> bool:
    """Whether the middleware reads more of such a page than its URL."""
    request: Any = SimpleNamespace(META={"QUERY_STRING": query}, path_info=path)
    with patch("connectly_tracking.attribution.land") as land:
        AttributionMiddleware(lambda _: HttpResponse())(request)
    return bool(land.called)


def test_a_hostile_query_is_read_in_milliseconds():
    for filler in (")", "&", "?", "%26", "&amp;", "amp;", "(", '"', ".", "%E2%80%9D"):
        room = MAX_QUERY - 40
        query = "cnct_tracking_id=x&ad_id=9" + filler * (room // len(filler))
        begin = time.process_time()
        read_url(query, query)
        assert time.process_time() - begin < 0.5


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
@example("cnct%5Ftracking_id=%255F)&attribution_source=META_ctwa/")
def test_any_query_gives_what_stood_in_the_url_or_nothing(query):
    found, notes, lost = read_url(query)
    assert parse_query(query) == (found, notes)
    stood = unquote(query.encode("utf-8", "surrogatepass").decode("latin-1"), "latin-1")
    for name in PARAMETERS if found else ():
        value = getattr(found, name)
        assert value == "" or re.fullmatch("[!-~]{1,1024}", value)
        assert value in stood or value == "meta_ctwa"
    assert (not found and "cnct_tracking_id" in query) == bool(
        lost and "cnct_tracking_id" in query
    )
    assert not (found and lost)


@given(st.text(), st.text() | queries)
def test_any_url_is_read(query, path):
    found = read_url(query, path)
    if found.landing or found.lost:
        assert is_looked_at(unquote(query), unquote(path))


@given(st.tuples(*[st.text(VISIBLE, min_size=1)] * 5), st.permutations(range(5)))
def test_five_quoted_values_come_back_verbatim_or_are_refused(given, order):
    """In any order; only what nobody encodes may be cut from the last one."""
    pairs = [f"{PARAMETERS[n]}={quote(given[n], safe='')}" for n in order]
    found, notes = parse_query("&".join(pairs))
    refused = {one.name for one in notes if not one.is_repair}
    repaired = {one.name for one in notes if one.is_repair}
    assert repaired <= {PARAMETERS[order[-1]], "attribution_source"}
    for name, value in zip(PARAMETERS, given, strict=True) if found else ():
        kept = getattr(found, name)
        if name in refused:
            assert kept == ("meta_ctwa" if name == "attribution_source" else "")
        elif name not in repaired:
            assert kept == value


@given(st.text(VISIBLE, min_size=1))
@example("{{x}}")
def test_what_is_quoted_comes_back(value):
    found, refused = parse_query(f"cnct_tracking_id={quote(value, safe='')}")
    if found is None:
        assert refused == (Note("cnct_tracking_id", len(value), "placeholder"),)
    elif not refused:
        assert found.cnct_tracking_id == value
    else:  # a full stop is encoded by nobody
        assert re.fullmatch(r"[\w-]{6,}\.+", value, re.ASCII)
        assert found.cnct_tracking_id == value.rstrip(".")


@given(st.dictionaries(names, st.text() | st.integers() | st.none() | st.binary()))
def test_any_mapping_gives_its_own_values_or_nothing(params):
    found, refused = parse_params(params)
    assert {one.name for one in refused} <= set(params) & set(PARAMETERS)
    for name in PARAMETERS if found else ():
        value = getattr(found, name)
        assert value in ("", "meta_ctwa") or value == params[name]
