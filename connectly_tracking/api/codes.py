"""Meta's error codes, as Connectly forwards them in a 400: one table.

How Connectly forwards them is not documented, so the numbers and words are looked for
anywhere in the answer: in JSON, in JSON inside a string, or in a sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final


class Cause(StrEnum):
    """What a refusal is about. The sentence of each is in ``remedies``."""

    CLICK_UNKNOWN = "click_unknown"
    EVENT_TYPE = "event_type"
    CURRENCY = "currency"
    NO_PAGE = "no_page"
    NO_INSTAGRAM = "no_instagram"
    CHANNEL = "channel"
    ARGUMENT = "argument"
    DATASET = "dataset"
    TOKEN = "token"  # noqa: S105 - not a password
    PERMISSION = "permission"
    BLOCKED = "blocked"
    TRANSIENT = "transient"
    TOO_OLD = "too_old"
    VALUE = "value"
    OTHER = "other"


class Remedy(Enum):
    """What follows from a refusal."""

    REJECT = "reject"
    """It is final."""
    PAUSE = "pause"
    """It concerns every event of the business, until the business is set up again."""
    RETRY = "retry"
    """It may be accepted later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A row of the table. Any of its numbers or words is enough."""

    cause: Cause
    remedy: Remedy = Remedy.REJECT
    codes: frozenset[int] = frozenset()
    subcodes: frozenset[int] = frozenset()
    words: str = ""

    def is_in(self, found: Numbers, text: str) -> bool:
        if self.codes & found.codes or self.subcodes & found.subcodes:
            return True
        return bool(self.words and re.search(self.words, text, re.I))


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of an answer."""

    codes: frozenset[int]
    subcodes: frozenset[int]


#: The first row that is found in an answer applies: the precise ones come first.
CODES: Final = (
    Code(
        cause=Cause.CLICK_UNKNOWN,
        subcodes=frozenset({2804087}),
        words="invalid ctwa.?clid",
    ),
    Code(
        cause=Cause.EVENT_TYPE,
        subcodes=frozenset({2804066}),
        words="invalid event type",
    ),
    Code(cause=Cause.CURRENCY, subcodes=frozenset({2804081})),
    Code(
        cause=Cause.NO_PAGE,
        subcodes=frozenset({2804131}),
        words="no page associated",
    ),
    Code(
        cause=Cause.NO_INSTAGRAM,
        subcodes=frozenset({2804133}),
        words="no ig account associated",
    ),
    Code(
        cause=Cause.CHANNEL,
        subcodes=frozenset({2804063}),
        words="missing messaging channel",
    ),
    Code(
        cause=Cause.ARGUMENT,
        subcodes=frozenset({2804064}),
        words="messaging event invalid argument",
    ),
    Code(
        cause=Cause.DATASET,
        subcodes=frozenset({33}),
        words="does not exist, cannot be loaded",
    ),
    Code(
        cause=Cause.TOKEN,
        remedy=Remedy.PAUSE,
        codes=frozenset({102, 190}),
        words=(
            "(invalid|expired|malformed|validating) (oauth )?access token"
            "|access token (is |has )?(been |not )?(invalid|valid|expired|revoked)"
        ),
    ),
    Code(
        cause=Cause.PERMISSION,
        remedy=Remedy.PAUSE,
        codes=frozenset({3, 10, *range(200, 300)}),
    ),
    Code(
        cause=Cause.BLOCKED,
        remedy=Remedy.RETRY,
        codes=frozenset({368}),
        words="temporarily blocked",
    ),
    Code(
        cause=Cause.TRANSIENT,
        remedy=Remedy.RETRY,
        codes=frozenset({1, 2, 4, 17, 341}),
        words=(
            r"""is_?transient["'\\]*\s*[:=]\s*["'\\]*true\b"""
            "|temporarily unavailable|request limit reached"
            "|an (unknown|unexpected) error (has )?occurred"
        ),
    ),
    # Refusals without a code of Meta's.
    Code(cause=Cause.TOO_OLD, words="event_time|7 days|too old"),
    Code(cause=Cause.CLICK_UNKNOWN, words="ctwa_clid|click.?id"),
    Code(cause=Cause.DATASET, words="dataset|permission|page_id|whatsapp_business"),
    Code(cause=Cause.CURRENCY, words="currency"),
    Code(cause=Cause.VALUE, words=r"\bvalue\b"),
    Code(cause=Cause.EVENT_TYPE, words="event_name"),
)
OTHER: Final = Code(cause=Cause.OTHER)

# A backslash may come before a quote: JSON inside a string.
_NUMBER: Final = r"""["'\\]*\s*[:=]\s*["'\\]*([0-9]{1,9})\b"""
_CODE: Final = re.compile(
    rf"(?<!\w)(?:error_?)?code{_NUMBER}"
    r"|\berror code #?([0-9]{1,9})\b"
    r"|\(#([0-9]{1,9})\)",
    re.I,
)
_SUBCODE: Final = re.compile(
    rf"sub_?code(?:{_NUMBER}|\s+([0-9]{{1,9}})\b)|\b(28040\d\d|28041\d\d)\b", re.I
)
#: Signs that Meta speaks.
_META: Final = re.compile(
    r"\(#[0-9]+\)|fbtrace_id|sub_?code|is_?transient|error_user_|OAuthException"
    r"|GraphMethodException|FacebookApiException",
    re.I,
)
#: With this, Connectly's gateway says INVALID_ARGUMENT; Meta lacks a permission.
_AMBIGUOUS: Final = 3


def code_of(answer: str) -> Code:
    """Return the row of the table for a refusal's text, or `OTHER`."""
    found = _numbers_in(answer)
    return next((code for code in CODES if code.is_in(found, answer)), OTHER)


def is_from_meta(answer: str) -> bool:
    """Whether Meta refused it, which it does once Connectly has counted the event."""
    return bool(_META.search(answer) or _numbers_in(answer).subcodes)


def _numbers_in(text: str) -> Numbers:
    codes = _found(_CODE, text)
    if len(codes) > 1 or not _META.search(text):
        codes -= {_AMBIGUOUS}
    return Numbers(codes, _found(_SUBCODE, text))


def _found(pattern: re.Pattern[str], text: str) -> frozenset[int]:
    return frozenset(
        int(number) for match in pattern.findall(text) for number in match if number
    )
