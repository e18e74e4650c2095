from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectly_tracking.api.verdicts import (
    DEFAULT_WAIT,
    MAX_WAIT,
    MIN_WAIT,
    Outcome,
    Verdict,
    verdict_of,
)

CONFIRMS = b'{"events_received": 1}'
WORDS = b'{"code": "SOME", "message": "words of theirs"}'

BY_STATUS = {
    Outcome.CONFIRMED: [200, 201, 202, 206, 226, 299],
    Outcome.CONFIGURATION: [
        *[300, 301, 302, 303, 304, 307, 308, 399],
        *[401, 403, 404, 405, 410],
        *[402, 407, 426, 431, 494, 495, 496, 497],
    ],
    Outcome.THROTTLED: [429],
    Outcome.UNAVAILABLE: [
        *[100, 101, 199, 408, 409, 421, 423, 425],
        *[500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511],
        *[520, 521, 522, 523, 524, 525, 526, 527, 529, 530, 561, 598, 599, 600, 999],
    ],
    Outcome.REFUSED: [
        *[400, 406, 411, 412, 413, 414, 415, 416, 417, 418, 422, 424, 428],
        *[440, 444, 449, 450, 451, 460, 463, 498, 499],
    ],
}
STATUSES = [
    (status, outcome) for outcome, statuses in BY_STATUS.items() for status in statuses
]


@pytest.mark.parametrize(("status", "outcome"), STATUSES)
def test_the_status_decides_whatever_the_body_claims(status, outcome):
    verdict = verdict_of(status, CONFIRMS)
    assert (verdict.outcome, verdict.status_code) == (outcome, status)


def test_a_status_stands_in_the_table_once():
    assert len(STATUSES) == len(dict(STATUSES))


@pytest.mark.parametrize(("status", "outcome"), STATUSES)
def test_their_words_are_kept_whole(status, outcome):
    assert verdict_of(status, WORDS).detail == WORDS.decode()


@pytest.mark.parametrize("status", [413, 429, 503])
def test_whoever_names_a_time_to_wait_is_heard(status):
    assert verdict_of(status, WORDS, "7") == Verdict(
        outcome=Outcome.THROTTLED, status_code=status, detail=WORDS.decode(), wait=7
    )


@pytest.mark.parametrize("header", ["", "soon"])
def test_a_time_to_wait_that_cannot_be_read_is_still_a_wish_to_wait(header):
    verdict = verdict_of(503, WORDS, header)
    assert (verdict.outcome, verdict.wait) == (Outcome.THROTTLED, DEFAULT_WAIT)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [pair for pair in STATUSES if pair[0] not in (413, 429, 503)],
)
def test_a_time_to_wait_means_nothing_beside_other_statuses(status, outcome):
    verdict = verdict_of(status, CONFIRMS, "7")
    assert (verdict.outcome, verdict.wait) == (outcome, None)


def test_a_429_without_a_time_waits_a_minute():
    assert verdict_of(429, b"").wait == DEFAULT_WAIT == 60


@pytest.mark.parametrize(
    "body",
    [
        CONFIRMS,
        b'\xef\xbb\xbf{"events_received": 1}',
        b' \r\n\t{ "events_received" : 1 } \n',
        b'{"events_received": 2}',
        b'{"events_received": 1, "trace": {"id": [1, null]}, "fbtrace_id": "\xc3\xa9"}',
        b'{"events_received": 10000000000000000000000}',
        b'{"events_received": 0, "events_received": 1}',
    ],
)
def test_at_least_one_event_received_confirms(body):
    detail = body.decode("utf-8-sig") if b"trace" in body else ""
    assert verdict_of(200, body) == Verdict(
        outcome=Outcome.CONFIRMED, status_code=200, detail=detail
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"events_received": 0}',
        b'{"events_received": -1}',
        b'{"events_received": "1"}',
        b'{"events_received": true}',
        b'{"events_received": false}',
        b'{"events_received": null}',
        b'{"events_received": 1.0}',
        b'{"events_received": 1.5}',
        b'{"events_received": 1e400}',
        b'{"events_received": NaN}',
        b'{"events_received": [1]}',
        b'{"events_received": {"events_received": 1}}',
        b'{"events_received": ' + b"1" * 5000 + b"}",
        b'{"Events_Received": 1}',
        b'{"data": {"events_received": 1}}',
        b'[{"events_received": 1}]',
        b'"events_received"',
        b"{}",
        b"",
        b" ",
        b"[]",
        b"null",
        b"1",
        b"true",
        b'{"events_received": 1',
        b'{"events_received": 1} {}',
        b"{'events_received': 1}",
        b"<!doctype html><title>Guest Wi-Fi</title>",
        b"[" * 10_000,
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000,
        b"\xff\xfe\x00\x80",
        '{"events_received": 1}'.encode("utf-16"),
        b"\x1f\x8b\x08\x00\x00",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_2xx_without_that_word_is_unconfirmed_and_its_body_kept(body):
    verdict = verdict_of(200, body)
    assert verdict.outcome is Outcome.UNCONFIRMED
    assert verdict.detail == body.decode(errors="replace")


@pytest.mark.parametrize("status", [204, 205])
def test_a_2xx_without_a_body_is_unconfirmed(status):
    assert verdict_of(status, b"") == Verdict(
        outcome=Outcome.UNCONFIRMED, status_code=status
    )


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("4", 4),
        (" 4 ", 4),
        ("\t4", 4),
        ("007", 7),
        ("0" * 5000 + "7", 7),
        ("0", MIN_WAIT),
        ("1", 1),
        ("21600", MAX_WAIT),
        ("21601", MAX_WAIT),
        ("99999999999", MAX_WAIT),
        ("9" * 5000, MAX_WAIT),
        ("-1", DEFAULT_WAIT),
        ("+5", DEFAULT_WAIT),
        ("1e3", DEFAULT_WAIT),
        ("1.5", DEFAULT_WAIT),
        ("0x10", DEFAULT_WAIT),
        ("1_000", DEFAULT_WAIT),
        ("²", DEFAULT_WAIT),
        ("٤", DEFAULT_WAIT),
        ("4, 4", DEFAULT_WAIT),
        ("5, 10", DEFAULT_WAIT),
        ("soon", DEFAULT_WAIT),
        ("", DEFAULT_WAIT),
        ("\x00", DEFAULT_WAIT),
        ("nan", DEFAULT_WAIT),
        ("inf", DEFAULT_WAIT),
        ("1-Jan- 00:00:00 GMT", DEFAULT_WAIT),
        ("Wed, 99 Foo 2024 00:00:00 GMT", DEFAULT_WAIT),
        ("Wed, 21 Oct 2015 07:28:00 GMT", MIN_WAIT),
        ("Mon, 01 Jan 0001 00:00:00 GMT", MIN_WAIT),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_WAIT),
        ("Fri, 31 Dec 9999 23:59:59 -0000", MAX_WAIT),
        ("Fri, 31 Dec 9999 23:59:59", MAX_WAIT),
    ],
)
def test_a_time_to_wait_is_read_within_bounds_and_nonsense_is_a_minute(header, seconds):
    assert verdict_of(429, b"", header).wait == seconds


@pytest.fixture
def in_tokyo(monkeypatch):
    """The machine's own time zone, which must not matter."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-9)), None])
def test_a_date_to_come_is_so_many_seconds_from_now(zone, in_tokyo):
    until = datetime.now(UTC) + timedelta(seconds=600)
    if zone:
        header = format_datetime(until.astimezone(zone))
    else:
        header = format_datetime(until.replace(tzinfo=None))  # said as -0000
    assert verdict_of(503, b"", header).wait in range(590, 601)


def test_a_date_to_come_is_never_too_early():
    until = (datetime.now(UTC) + timedelta(seconds=600)).replace(microsecond=0)
    wait = verdict_of(503, b"", format_datetime(until)).wait
    assert wait is not None
    assert wait >= (until - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize("apart", [-7200, 7200])
def test_a_date_counts_from_the_answers_own(apart):
    now = datetime.now(UTC) + timedelta(seconds=apart)
    until = format_datetime(now + timedelta(seconds=600))
    assert verdict_of(429, b"", until, format_datetime(now)).wait == 600
    for unread in (None, "", "soon", "Mon, 01 Jan 2024 00:00:00 +99999999999"):
        wait = verdict_of(429, b"", until, unread).wait
        assert wait == pytest.approx(max(600 + apart, 1), abs=2)


@pytest.mark.parametrize(
    "header",
    [
        "Mon, 01 Jan 2024 00:00:00 +9999999999999999999999999",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2024 99999999999999999999:00:00 GMT",
    ],
)
def test_a_date_of_numbers_beyond_reason_is_a_minute(header):
    assert verdict_of(429, b"", header).wait == DEFAULT_WAIT


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["events_received", "message"]), inner)
    ),
)


@given(
    st.integers(100, 999),
    st.binary() | json_values.map(lambda value: json.dumps(value).encode()),
    st.none() | st.text() | st.integers().map(str),
)
@example(200, b"[" * 100_000, None)
@example(429, b"\xff", "9" * 400)
def test_any_answer_gets_a_verdict(status, body, retry_after):
    verdict = verdict_of(status, body, retry_after)
    assert verdict.status_code == status
    assert verdict.wait is None or MIN_WAIT <= verdict.wait <= MAX_WAIT
    assert (verdict.wait is not None) == (verdict.outcome is Outcome.THROTTLED)
    assert verdict.outcome not in (Outcome.NOT_SENT, Outcome.UNKNOWN)


@given(json_values)
def test_only_a_whole_number_of_events_confirms(answer):
    verdict = verdict_of(200, json.dumps(answer).encode())
    received = answer.get("events_received") if isinstance(answer, dict) else None
    confirmed = type(received) is int and received >= 1
    assert (verdict.outcome is Outcome.CONFIRMED) == confirmed


def test_the_outcomes_are_stored_by_these_words():
    assert [*Outcome] == [
        "confirmed",
        "unconfirmed",
        "refused",
        "transient",
        "configuration",
        "throttled",
        "unavailable",
        "not_sent",
        "unknown",
        "internal",
    ]


def test_the_date_of_the_answer_is_not_part_of_the_verdict():
    verdict = Verdict(outcome=Outcome.CONFIRMED, date="Wed, 21 Oct 2015 07:28:00 GMT")
    assert verdict == Verdict(outcome=Outcome.CONFIRMED)


def test_a_verdict_in_ascii_keeps_every_character_as_its_escape():
    verdict = verdict_of(400, "paramètre ☃".encode(), None)
    assert verdict.in_ascii() == Verdict(
        outcome=Outcome.REFUSED, status_code=400, detail="param\\xe8tre \\u2603"
    )
