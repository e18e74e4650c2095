from __future__ import annotations

import base64
import copy
import html
import json
import logging
import pickle
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectly_tracking.api.secret import MASK, Secret

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "cnct-key-0f9e8d7c"


@pytest.mark.parametrize("show", [str, repr, ascii, format, "{!s}".format])
def test_it_shows_as_stars_however_it_is_shown(show):
    assert show(Secret(KEY)) == MASK == "***"
    assert show([Secret(KEY)]) == "[***]"


def test_it_is_revealed_when_asked_for():
    assert Secret(KEY).reveal() == KEY


def test_a_log_line_shows_stars(caplog):
    logging.getLogger("shop").error("key=%s %r", Secret(KEY), {"key": Secret(KEY)})
    assert caplog.messages == ["key=*** {'key': ***}"]


def test_a_traceback_with_local_variables_shows_stars():
    def fails(key):
        raise ValueError(key)

    with pytest.raises(ValueError, match=r"\*\*\*") as caught:
        fails(Secret(KEY))
    shown = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    assert KEY not in "".join(shown.format())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_it_leaves_stars(protocol):
    pickled = pickle.dumps(Secret(KEY), protocol)
    assert KEY.encode() not in pickled
    assert pickle.loads(pickled).reveal() == MASK


def test_a_copy_of_it_leaves_stars():
    assert copy.deepcopy({"key": Secret(KEY)})["key"].reveal() == MASK


def test_it_has_no_attributes_to_walk_and_is_no_json():
    with pytest.raises(TypeError):
        vars(Secret(KEY))
    with pytest.raises(TypeError):
        json.dumps(Secret(KEY))


def test_it_is_taken_out_of_a_text_wherever_it_stands():
    assert Secret(KEY).mask(f"{KEY}: bad key {KEY}{KEY}") == "***: bad key ******"


@pytest.mark.parametrize("key", ['a"b"c', "back\\slash", "ключ", "tab\tkey", "é"])
def test_its_json_form_is_taken_out_too(key):
    echoed = json.dumps({"message": f"the key {key} is unknown"})
    assert Secret(key).mask(echoed) == '{"message": "the key *** is unknown"}'


def test_a_text_without_it_is_left_alone():
    assert Secret(KEY).mask("Meta: (#100) Invalid parameter") == (
        "Meta: (#100) Invalid parameter"
    )


def test_an_empty_secret_masks_nothing():
    assert Secret("").mask("words") == "words"


@given(st.text(), st.text("abc+/=-_.\\\"'é", min_size=4), st.text())
def test_after_masking_it_is_not_in_the_text(before, key, after):
    masked = Secret(key).mask(f"{before}{key}{after}{json.dumps(key)}")
    assert key not in masked


LONG_KEY = "cnct_live/0f9e+8d7c&6b5a=Zz"
#: Ways to write a key that hold for a part of it, too.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "lower case": str.lower,
    "upper case": str.upper,
    "escaped slash": lambda key: key.replace("/", "\\/"),
    "json": lambda key: "".join(f"\\u{ord(sign):04x}" for sign in key),
    "json, upper case": lambda key: "".join(f"\\u{ord(sign):04X}" for sign in key),
    "json, one sign": lambda key: key.replace("c", "\\u0063"),
    "javascript": lambda key: "".join(f"\\x{ord(sign):02x}" for sign in key),
    "javascript, braces": lambda key: "".join(f"\\u{{{ord(it):x}}}" for it in key),
    "html": lambda key: html.escape(key).replace("/", "&sol;").replace("_", "&lowbar;"),
    "html, decimal": lambda key: "".join(f"&#{ord(sign)};" for sign in key),
    "html, padded": lambda key: "".join(f"&#{ord(sign):05d};" for sign in key),
    "html, hexadecimal": lambda key: "".join(f"&#x{ord(sign):X};" for sign in key),
    "html in json": lambda key: html.escape(key).replace("&", "\\u0026"),
    "url": lambda key: quote(key, safe=""),
    "url, every sign": lambda key: "".join(f"%{ord(sign):02x}" for sign in key),
    "url, twice": lambda key: quote(quote(key, safe=""), safe=""),
    "url, three times": lambda key: quote(quote(quote(key, safe=""), safe=""), safe=""),
    "url in html": lambda key: quote(key, safe="").replace("%", "&#37;"),
    "json in json": lambda key: json.dumps(json.dumps(key.replace("/", "\\/")))[3:-3],
    "zero width": "\u200b".join,
    "word joiner": "\u2060".join,
    "soft hyphen": "\xad".join,
    "soft hyphen in html": "&shy;".join,
    "zero width in a url": "%E2%80%8B".join,
    "zero width in json": "\\u200b".join,
    "white space": " ".join,
    "no-break space": "&nbsp;".join,
    "line ends": "\r\n\t".join,
    "line ends in json": "\\n".join,
    "word breaks": "<wbr>".join,
    "line breaks": "<br />".join,
    "full width": lambda key: "".join(chr(ord(sign) + 0xFEE0) for sign in key),
    "right to left": lambda key: f"\u202d{key[:9]}\u200f{key[9:]}",
    "hexadecimal digits": lambda key: key.encode().hex(),
    "hexadecimal digits, apart": lambda key: key.encode().hex(" ").upper(),
}


def in_base64(key, before="", after="", encode=base64.b64encode):
    return encode(f"{before}{key}{after}".encode()).decode()


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_it_is_taken_out_however_it_is_spelled(spell):
    text = f'{{"error": "the key {spell(LONG_KEY)}, is unknown"}}'
    masked = Secret(LONG_KEY).mask(text)
    assert masked.replace("\u202d", "") == '{"error": "the key ***, is unknown"}'


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("after", ["", "x", "xy", ":password"])
@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize(
    "wrap",
    [str, lambda it: it.strip("="), str.lower, "\n".join, partial(quote, safe="")],
)
def test_it_is_taken_out_of_base64(before, after, encode, wrap):
    key = "~~>>" + LONG_KEY + "??ÿ"  # has + and / in it, or - and _
    spelled = wrap(in_base64(key, before, after, encode))
    masked = Secret(key).mask(f"Authorization: Basic {spelled}, refused")
    left = masked.removeprefix("Authorization: Basic ").removesuffix(", refused")
    assert "***" in left
    # The characters at either end that the rest has a part in.
    allowed = len(wrap(in_base64("", before))) + len(wrap(in_base64("", after))) + 8
    assert len(left) - len("***") <= allowed


@pytest.mark.parametrize("name", [name for name in SPELLINGS if name != "json in json"])
def test_what_the_end_of_an_answer_leaves_of_it_is_taken_out(name):
    least = 8 if "digits" in name else 4
    for size in range(least, len(LONG_KEY)):
        spelled = SPELLINGS[name](LONG_KEY[:size])
        masked = Secret(LONG_KEY).mask(f"bad key: {spelled}")
        assert masked.strip("\u200f").replace("\u202d", "") == "bad key: ***"


@given(st.integers(15), st.sampled_from(list(SPELLINGS.values())))
def test_an_answer_may_be_cut_inside_an_escape(size, spell):
    spelled = spell(LONG_KEY)
    masked = Secret(LONG_KEY).mask(f"bad key: {spelled[:size]}")
    assert len(masked) <= len("bad key: ") + 7 * 4  # fewer than four signs are left


def test_a_first_half_that_is_shown_on_purpose_is_taken_out():
    masked = Secret(LONG_KEY).mask(f"bad key {LONG_KEY[:14]}… (27 characters)")
    assert masked == "bad key ***… (27 characters)"


@pytest.mark.parametrize("key", ["a", "key", "e", "r", "is", "no", "in"])
def test_a_very_short_one_masks_only_a_word(key):
    text = "Invalid parameter: the order has an error"
    assert Secret(key).mask(text) == text
    assert Secret(key).mask(f"bad value '{key}'") == "bad value '***'"


@pytest.mark.parametrize(
    "text",
    [
        "Meta: (#100) Invalid parameter, \\u00e9 &amp; %2F and \\ at the end: &",
        "cnct is not a key, nor are cnct_live and cnct live",
        "<html><body>&nbsp;Bad gateway<br>nginx</body></html>",
        "\\",
        "%",
        "&#0; &#x110000; &unknown; \\u{fffff} %ff%fe \ud800",
        "100 % of c n c t",
        "",
        "é" * 300,
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Secret(LONG_KEY).mask(f"{text}.") == f"{text}."


printable = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=8, max_size=80
).filter(lambda key: key == key.strip() and len(key.replace(" ", "")) >= 8)
SAFE = ("as it is", "json", "html, decimal", "html, hexadecimal", "url", "url, twice")


@given(printable, st.lists(st.sampled_from(SAFE), max_size=3))
def test_one_spelling_may_be_inside_another(key, names):
    spelled = key
    for name in names:
        spelled = SPELLINGS[name](spelled)
    masked = Secret(key).mask(f"¿{spelled}?")
    # A key of such signs may go on in the question mark.
    assert masked in {"¿***?", "¿***"}


@given(printable, st.binary(max_size=8), st.binary(max_size=8), st.booleans())
def test_base64_of_any_key_is_taken_out(key, before, after, safe):
    encode = base64.urlsafe_b64encode if safe else base64.b64encode
    spelled = encode(before + key.encode() + after).decode()
    masked = Secret(key).mask(f"({spelled})")
    assert "***" in masked
    assert len(masked) <= len("(***)") + 4 * (len(before + after) // 3 + 3)


@given(st.text(), printable)
def test_a_text_is_masked_or_left_alone_and_never_fails(text, key):
    masked = Secret(key).mask(text)
    assert key not in masked
    assert masked == text or MASK in masked


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "\\",
        "%25",
        "&",
        "&amp;",
        "\\u0041",
        "\\u{",
        "<br",
        " ",
        LONG_KEY[:-1],
        "a ",
    ],
)
@pytest.mark.parametrize("key", [LONG_KEY, "a" * 2000 + "b", "a b" * 700, "&amp;" * 50])
def test_the_longest_answer_takes_no_time(piece, key):
    text = (piece * 65536)[:65536]
    begun = time.process_time()
    Secret(key).mask(text)
    assert time.process_time() - begun < 1


def test_a_secret_of_white_space_does_not_mask_what_is_left_of_it():
    key = "a       b"
    assert Secret(key).mask(f"about {key}") == "about ***"
