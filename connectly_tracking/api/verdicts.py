"""What an answer of the API means for the event, decided by one pure function.

Only a confirmed answer is a delivery. If Connectly may or may not have counted the
event, it is sent again with the same bytes; after a 400 only if Meta's code says so.

How Connectly forwards Meta's codes is not documented, so their numbers and words are
looked for anywhere in the answer: in JSON, in JSON inside a string, or in a sentence.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, StrEnum
from typing import Any, Final

MIN_WAIT: Final = 1.0  # seconds
MAX_WAIT: Final = 6 * 3600.0
DEFAULT_WAIT: Final = 60.0

_API_CONFIGURATION: Final = frozenset({401, 403, 404, 405, 410})
# A proxy or gateway speaks, and would say the same of each event: payment, its own
# login, the protocol, the headers (431, nginx's 494) or the certificate (495 to 497).
GATEWAY_CONFIGURATION: Final = frozenset({402, 407, 426, 431, 494, 495, 496, 497})
_CONFIGURATION: Final = _API_CONFIGURATION | GATEWAY_CONFIGURATION
_UNAVAILABLE: Final = frozenset({408, 409, 421, 423, 425})


class Outcome(StrEnum):
    """How one attempt ended."""

    CONFIRMED = "confirmed"
    """2xx, and ``events_received`` is at least 1."""
    UNCONFIRMED = "unconfirmed"
    """2xx without ``events_received``: a captive portal, a maintenance page."""
    REFUSED = "refused"
    """400 and the like: final, although Connectly may have counted the event."""
    TRANSIENT = "transient"
    """400, but Meta may accept the event later; Connectly may have counted it."""
    CONFIGURATION = "configuration"
    """The key, the business, the address, a proxy or Connectly's link to Meta is wrong;
    the event is not."""
    THROTTLED = "throttled"
    """The API asked us to wait."""
    UNAVAILABLE = "unavailable"
    """The API said that it could not answer now."""
    NOT_SENT = "not_sent"
    """No connection: the request did not leave."""
    UNKNOWN = "unknown"
    """The request left, and no complete answer came back."""
    INTERNAL = "internal"
    """An internal error in this app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One attempt's result. ``wait``: seconds that the API asked for, or None.

    ``date``: the answer's own header, unparsed; not part of the verdict on the event.
    """

    outcome: Outcome
    status_code: int | None = None
    detail: str = ""
    wait: float | None = None
    date: str | None = field(default=None, compare=False)

    def in_ascii(self) -> Verdict:
        """Return it for a column whose character set cannot hold the answer's text."""
        plain = self.detail.encode("ascii", "backslashreplace").decode()
        return replace(self, detail=plain)


def verdict_of(
    status: int, body: bytes, retry_after: str | None = None, date: str | None = None
) -> Verdict:
    """Return what an answer means: the status decides, and after a 400 Meta's code.

    The body of a 2xx only confirms. ``retry_after`` and ``date`` are its headers.
    """
    text = body.decode("utf-8-sig", "replace")
    outcome = _outcome(status, text, asks_to_wait=retry_after is not None)
    return Verdict(
        outcome=outcome,
        status_code=status,
        detail="" if outcome is Outcome.CONFIRMED and _is_bare(text) else text,
        wait=_seconds(retry_after, date) if outcome is Outcome.THROTTLED else None,
        date=date,
    )


def _outcome(status: int, text: str, *, asks_to_wait: bool) -> Outcome:
    if status == 429 or (status in {413, 503} and asks_to_wait):
        return Outcome.THROTTLED
    if 200 <= status < 300:
        return Outcome.CONFIRMED if _confirms(text) else Outcome.UNCONFIRMED
    if 300 <= status < 400 or status in _CONFIGURATION:
        return Outcome.CONFIGURATION
    if status in _UNAVAILABLE or status >= 500 or status < 200:
        return Outcome.UNAVAILABLE
    if status == 400:
        return _BY_CONSEQUENCE[code_of(text).consequence]
    return Outcome.REFUSED


def _confirms(text: str) -> bool:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return False
    received = answer.get("events_received") if isinstance(answer, dict) else None
    return (
        isinstance(received, int) and not isinstance(received, bool) and received >= 1
    )


def _is_bare(confirmation: str) -> bool:
    """Whether it says nothing else, such as a trace id."""
    return len(json.loads(confirmation)) == 1


def _seconds(retry_after: str | None, date: str | None) -> float:
    """Return 1 s to 6 h (RFC 9110); one minute if nothing can be read.

    A time is compared with that of the answer, since this machine's clock may be wrong.
    """
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        seconds = min(float(text), MAX_WAIT)  # any number of digits
    elif until := parse_date(text):
        seconds = (until - (parse_date(date) or datetime.now(UTC))).total_seconds()
    else:
        return DEFAULT_WAIT
    return min(max(math.ceil(seconds), MIN_WAIT), MAX_WAIT)


def parse_date(header: str | None) -> datetime | None:
    """Return the time of a header such as ``Date``, or None if it cannot be read."""
    try:
        at = parsedate_to_datetime(header or "")
    except (ValueError, IndexError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


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


class Consequence(Enum):
    """What follows from a refusal."""

    REJECT = "reject"
    """It is final."""
    PAUSE = "pause"
    """It concerns every event of the business, until the business is set up again."""
    RETRY = "retry"
    """It may be accepted later."""


_BY_CONSEQUENCE: Final = {
    Consequence.REJECT: Outcome.REFUSED,
    Consequence.PAUSE: Outcome.CONFIGURATION,
    Consequence.RETRY: Outcome.TRANSIENT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A row of the table. Any of its numbers or words is enough.

    ``words`` are looked for anywhere. ``said`` may also be in an event that the answer
    repeats, so it is looked for in the answer's sentences only.
    """

    cause: Cause
    consequence: Consequence = Consequence.REJECT
    codes: frozenset[int] = frozenset()
    subcodes: frozenset[int] = frozenset()
    words: str = ""
    said: str = ""

    def is_in(self, found: Numbers, text: str, sentences: str) -> bool:
        if self.codes & found.codes or self.subcodes & found.subcodes:
            return True
        return any(
            pattern and re.search(pattern, where, re.I | re.M)
            for pattern, where in ((self.words, text), (self.said, sentences))
        )


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
        consequence=Consequence.PAUSE,
        codes=frozenset({102, 190}),
        words=(
            r"\b(invalid|expired|malformed|revoked|validating|parse|decrypt) "
            r"((the|your|user|page|oauth|2\.0) )*access[ _]token"
            r"|\baccess[ _]token ((is|was|has|been|could not be|cannot be) )*"
            "(invalid|expired|malformed|revoked|decrypted|parsed|required|no longer"
            "|not valid)"
            "|active access token must be used|session has (expired|been invalidated)"
        ),
    ),
    Code(
        cause=Cause.PERMISSION,
        consequence=Consequence.PAUSE,
        codes=frozenset({3, 10, *range(200, 300)}),
        words=(
            "does not have (permission for this action"
            "|the capability to make this api call)"
        ),
    ),
    Code(
        cause=Cause.BLOCKED,
        consequence=Consequence.RETRY,
        codes=frozenset({368}),
        words="temporarily blocked",
    ),
    Code(
        cause=Cause.TRANSIENT,
        consequence=Consequence.RETRY,
        codes=frozenset({1, 2, 4, 17, 341}),
        words=(
            r"""is_?transient["'\\]*\s*[:=]\s*["'\\]*true\b"""
            "|temporarily unavailable|request limit reached"
            "|an (unknown|unexpected) error (has )?occurred"
        ),
    ),
    # Refusals without a code of Meta's.
    Code(cause=Cause.TOO_OLD, said="event_time|7 days|too old"),
    Code(cause=Cause.CLICK_UNKNOWN, said="ctwa_clid|click.?id"),
    Code(cause=Cause.DATASET, said="dataset|permission|page_id|whatsapp_business"),
    Code(cause=Cause.CURRENCY, said="currency"),
    Code(
        cause=Cause.VALUE,
        # Not "invalid value for sendout_id".
        said=(
            r"""payload\.value\b|^value$|["'`]value["'`]"""
            r"|\b(field|property):? value\b(?! for)|\bparameter:? value is required"
            r"|\bpurchase\b.{0,20}\b(requires|without) (a |the )?value\b"
        ),
    ),
    Code(cause=Cause.EVENT_TYPE, said="event_name"),
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
_SUBCODE: Final = re.compile(rf"sub_?code(?:{_NUMBER}|\s+([0-9]{{1,9}})\b)", re.I)
#: Those for messaging events need no such name, but may be the number of an order.
_MESSAGING: Final = frozenset(range(2804000, 2804200))
_SAID: Final = re.compile(r"\b[0-9]{7}\b")
#: Signs that Meta speaks.
_META: Final = re.compile(
    r"\(#[0-9]+\)|fbtrace_id|sub_?code|is_?transient|error_user_|OAuthException"
    r"|GraphMethodException|FacebookApiException",
    re.I,
)
#: A key or a word of Meta's own that is beside its code.
_META_BESIDE: Final = re.compile(
    r'"(fbtrace_id|(error_)?subcode|is_transient|error_user_\w+|\w+Exception)"'
)
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[{}\[\]]', re.S)
_OBJECT: Final = re.compile(r'\s*\{(\s*"error"\s*:\s*\{)?')
_OUTER_CODE: Final = re.compile(rf'"code"{_NUMBER}')
#: Those of gRPC, around the whole answer, may be the same as Meta's.
_GRPC: Final = frozenset(range(17))
#: With this, Connectly's gateway says INVALID_ARGUMENT; Meta lacks a permission.
_AMBIGUOUS: Final = 3

#: The names of texts that say what is wrong, such as Meta's ``error_user_msg``.
_SAYS: Final = re.compile(
    r"(message|msg|errors?|details?|description|title|reason|cause|field)$", re.I
)
_JSON_BEGINS: Final = re.compile(r'\{|\A\s*"|\A\s*\[(?=\s*["{\[])')
_JSON: Final = json.JSONDecoder()


def code_of(answer: str) -> Code:
    """Return the row of the table for a refusal's text, or `OTHER`."""
    sentences = _sentences_in(answer)
    found = _numbers_in(answer, sentences)
    return next((code for code in CODES if code.is_in(found, answer, sentences)), OTHER)


def is_from_meta(answer: str) -> bool:
    """Whether Meta refused it, which it does once Connectly has counted the event."""
    return bool(_META.search(answer) or _subcodes_in(answer, _sentences_in(answer)))


def _numbers_in(text: str, sentences: str) -> Numbers:
    subcodes = _subcodes_in(text, sentences)
    text = _without_grpc(text, has_subcode=bool(subcodes))
    codes = _found(_CODE, text)
    if len(codes) > 1 or not _META.search(text):
        codes -= {_AMBIGUOUS}
    return Numbers(codes, subcodes)


def _subcodes_in(text: str, sentences: str) -> frozenset[int]:
    said = frozenset(int(number) for number in _SAID.findall(sentences))
    return _found(_SUBCODE, text) | (_MESSAGING & (said | _found(_CODE, text)))


def _without_grpc(text: str, *, has_subcode: bool) -> str:
    """Leave out the outermost code if it is gRPC's.

    gRPC answers only INVALID_ARGUMENT with 400. Another code is Meta's too, unless Meta
    speaks further within.
    """
    outer, beside = _outer_code(text)
    if outer is None or (code := int(outer[1])) not in _GRPC:
        return text
    within = text[: outer.start()] + text[outer.end() :]
    is_metas = any(_META_BESIDE.fullmatch(it) for it in beside)
    is_within = has_subcode or _META.search(within)
    speaks = _found(_CODE, within) or (not is_metas and is_within)
    return within if code == _AMBIGUOUS or speaks else text


def _outer_code(text: str) -> tuple[re.Match[str] | None, set[str]]:
    """Find the code of the outermost object, and the strings that are beside it.

    Google has the object in another one, as Meta has its own: only Google's has
    details. The answer may be cut, or followed by its trace ids.
    """
    begins = _OBJECT.match(text)
    if begins is None:
        return None, set()
    found, beside, depth = None, set(), 0
    level = 2 if begins[1] else 1
    for token in _TOKEN.finditer(text):
        depth += (token[0] in "{[") - (token[0] in "]}")
        if depth == level:
            found = found or _OUTER_CODE.match(text, token.start())
            beside.add(token[0])
        elif depth < level and beside:
            break
    return (None if begins[1] and '"details"' not in beside else found), beside


def _found(pattern: re.Pattern[str], text: str) -> frozenset[int]:
    return frozenset(
        int(number) for match in pattern.findall(text) for number in match if number
    )


def _sentences_in(answer: str) -> str:
    """Return the texts that say what is wrong, without data that the answer repeats."""
    sentences: list[str] = []
    unread: list[tuple[bool, Any]] = [(True, answer)]
    while unread:
        says, value = unread.pop()
        if isinstance(value, dict):
            unread += [(bool(_SAYS.search(key)), it) for key, it in value.items()]
        elif isinstance(value, list):
            unread += [(says, it) for it in value]
        elif isinstance(value, str) and says:
            texts, values = _split(value)
            sentences += texts
            unread += [(True, it) for it in values]
    return "\n".join(sentences)


def _split(text: str) -> tuple[list[str], list[Any]]:
    """Tell the sentences of a text from the JSON in it."""
    sentences: list[str] = []
    values: list[Any] = []
    at = 0
    while begins := _JSON_BEGINS.search(text, at):
        sentences.append(text[at : begins.start()])
        try:
            value, at = _JSON.raw_decode(text, begins.end() - 1)
        except (ValueError, RecursionError):  # cut, or another language's
            return sentences, values
        values.append(value)
    return [*sentences, text[at:]], values
