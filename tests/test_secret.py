from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectly_tracking.api.secret import MASK, Secret

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
