"""A string that must not be shown, and how it is found in a text that echoes it."""

from __future__ import annotations

import base64
import html
import json
import re
from array import array
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, Self, final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MASK: Final = "***"
SHORT: Final = 8  # characters; a shorter secret may be part of ordinary words
LEAST_AT_END: Final = 4  # characters that tell a secret which the text's end cuts
MAX_LAYERS: Final = 8  # encodings of an encoding that are decoded

_IGNORED: Final = re.compile(
    r"(?:[\s\x00-\x1f\x7f-\xa0\xad\u034f\u061c\u180b-\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\uffff]|<w?br ?/?>)+",
    re.IGNORECASE,
)
_CUT: Final = r"(?:u[0-9a-f]{0,3}|u\{[0-9a-f]{0,5}|x[0-9a-f]?)?\Z"
_ESCAPE: Final = re.compile(
    rf"(?P<ignored>{_IGNORED.pattern})"
    # JSON and JavaScript, then HTML, then a URL.
    r"|\\u(?P<u>[0-9a-f]{4})|\\u\{(?P<braced>[0-9a-f]{1,5})\}|\\x(?P<x>[0-9a-f]{2})"
    rf"|(?P<space>\\[bfnrtv0])|\\(?!{_CUT})(?P<sign>.)"
    r"|(?P<html>&\#[0-9]{1,7};?|&\#x[0-9a-f]{1,6};?|&[a-z][a-z0-9]{1,31};)"
    r"|(?P<url>%[0-7][0-9a-f]|%[cd][0-9a-f]%[89ab][0-9a-f]"
    r"|%e[0-9a-f](?:%[89ab][0-9a-f]){2})",
    re.IGNORECASE,
)
#: What the end of a text may leave of an escape.
_CUT_ESCAPE: Final = re.compile(
    rf"\\{_CUT}|(?:%[0-9a-f]{{0,2}}){{1,3}}\Z|&\#?\w{{0,8}}\Z|<w?b?r? ?/?\Z|\Z",
    re.IGNORECASE | re.ASCII,
)
#: Also of the full-width signs.
_LOWER: Final = {
    **{sign + 0xFEE0: ord(chr(sign).lower()) for sign in range(0x21, 0x7F)},
    **{sign: ord(chr(sign).lower()) for sign in range(0x41, 0x5B)},
}


@final
class Secret:
    """Wraps the API key, so that printing, logging or pickling it shows ``***``."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the string itself: for the request's header and nothing else."""
        return self._text

    def mask(self, text: str) -> str:
        """Return a text with the secret replaced by stars, however it is spelled.

        It is found in any case, with white space or invisible characters inside, as
        JSON, HTML, a URL, base64 or hexadecimal digits, these also one inside another;
        and so is its first half, or less of it if the text ends there. A secret of
        less than 8 characters is found only as it is and as JSON, and one of less than
        4 only as a word.
        """
        if not text:
            return text  # as of most answers
        if len(_IGNORED.sub("", self._text)) < SHORT:
            return self._mask_short(text)
        masked, last = "", 0
        for begin, end in _merged(_spans(text, _spellings(self._text))):
            masked += text[last:begin] + MASK
            last = end
        return masked + text[last:]

    def _mask_short(self, text: str) -> str:
        edges = (r"(?<!\w)", r"(?!\w)") if len(self._text) < SHORT // 2 else ("", "")
        for form in {self._text, json.dumps(self._text)[1:-1]} - {""}:
            text = re.sub(re.escape(form).join(edges), MASK, text)
        return text

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return Secret, (MASK,)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text as a reader may decode it, and where its characters come from."""

    text: str
    begins: array[int]
    ends: array[int]

    @classmethod
    def of(cls, text: str) -> Self:
        size = len(text)
        return cls(text, array("I", range(size)), array("I", range(1, size + 1)))

    def without(self, ignored: re.Pattern[str]) -> _Reading:
        return self._replaced(ignored, lambda _match: "")

    def decoded(self) -> _Reading:
        return self._replaced(_ESCAPE, _decoded)

    def _replaced(
        self, pattern: re.Pattern[str], decode: Callable[[re.Match[str]], str]
    ) -> _Reading:
        texts, begins, ends, last = list[str](), array("I"), array("I"), 0
        for match in pattern.finditer(self.text):
            begin, end = match.span()
            plain = decode(match)
            texts += self.text[last:begin], plain
            begins += self.begins[last:begin]
            begins += self.begins[begin : begin + 1] * len(plain)
            ends += self.ends[last:begin]
            ends += self.ends[end - 1 : end] * len(plain)
            last = end
        return _Reading(
            "".join([*texts, self.text[last:]]),
            begins + self.begins[last:],
            ends + self.ends[last:],
        )

    def find(self, spelling: str) -> Iterator[tuple[int, int]]:
        """Yield where in the original text a spelling is, or the beginning of it."""
        text = self.text.translate(_LOWER)
        head = spelling[: max(len(spelling) // 2, SHORT)]
        for part in (spelling, head):
            for at in _positions(text, part):
                size = len(part)
                while size < len(spelling) and text.startswith(
                    spelling[size], at + size
                ):
                    size += 1
                yield self._span(at, size)
        for end in {cut.start() for cut in _CUT_ESCAPE.finditer(text)}:
            for size in range(min(len(spelling) - 1, end), LEAST_AT_END - 1, -1):
                if text.endswith(spelling[:size], 0, end):
                    yield self._span(end - size, len(text) - end + size)
                    break

    def _span(self, at: int, size: int) -> tuple[int, int]:
        return self.begins[at], self.ends[at + size - 1]


def _decoded(escape: re.Match[str]) -> str:
    """Return what an escape stands for; nothing for what is ignored."""
    if digits := escape["u"] or escape["braced"] or escape["x"]:
        plain = chr(int(digits, 16))
    elif escape["html"]:
        plain = html.unescape(escape["html"])
    else:
        plain = unquote(escape["url"] or "") or escape["sign"] or ""
    return _IGNORED.sub("", plain)


def _spellings(secret: str) -> set[str]:
    """Return the texts that a reading is searched for."""
    data = secret.encode("utf-8", "surrogatepass")
    found = {_IGNORED.sub("", secret), data.hex()}
    for offset in range(3):
        # Without the characters at either end that also depend on what is around it.
        bits = (offset + len(data)) * 8
        inner = slice(-(-offset * 8 // 6), bits // 6)
        found.add(base64.b64encode(bytes(offset) + data).decode()[inner])
        found.add(base64.urlsafe_b64encode(bytes(offset) + data).decode()[inner])
    return {spelling.translate(_LOWER) for spelling in found} - {""}


def _spans(text: str, spellings: set[str]) -> Iterator[tuple[int, int]]:
    reading = _Reading.of(text).without(_IGNORED)
    for _ in range(MAX_LAYERS + 1):
        yield from chain.from_iterable(map(reading.find, spellings))
        before = reading.text
        reading = reading.decoded()
        if reading.text == before:
            return


def _merged(spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans in order, those that overlap as one."""
    merged = list[tuple[int, int]]()
    for begin, end in sorted(spans):
        if merged and begin < merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((begin, end))
    return merged


def _positions(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + len(part))
