"""The five landing parameters of a link. An id is read as it is, or not at all.

Knows no Django::

    >>> landing, notes = parse_query("cnct_tracking_id=a%2Bb&sendout_id=s&ad_id=9")
    >>> landing.cnct_tracking_id, landing.missing
    ('a+b', ('ctwa_clid',))

Links arrive damaged. How a link is put together is repaired, not its ids:

- A raw ``?`` or ``#`` separates like ``&``, so a second ``?`` is read, and so is a
  whole address. So does an encoded ``?`` or ``&`` before ``name=``: if it belonged to a
  value, the ``=`` would be encoded too.
- ``amp;`` or ``#38;`` before a name is dropped, and an encoded name is decoded.
- Of several values of one name the last usable one wins.
- Closing punctuation is cut from the last value of a link, as in "(see …&ad_id=9)."
- ``META_CTWA`` and ``meta_ctwa/`` are ``meta_ctwa``, which is a word and not an id.

An id is opaque, and a wrong one credits nobody, or another ad. Therefore nothing is
guessed: a character at the end is cut only if it is raw, and if an encoder would have
encoded it or no id ends with it. Kept are:

- a bracket or a quote that closes one in the value;
- ``- _ ~ = + /``, in which Base64 and tokens may end;
- a full stop by itself, except after six or more letters, digits, ``-`` and ``_``;
- what the link encodes, since its author meant it, except typographic signs, which no
  id has.

An ad's id is digits, so any punctuation after digits is cut from it, also the quotes
that browsers encode by themselves. What is cut is noted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, cast
from urllib.parse import unquote, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PARAMETERS: Final = (
    "cnct_tracking_id",
    "sendout_id",
    "ctwa_clid",
    "ad_id",
    "attribution_source",
)
#: A URL that lacks this, in lower case, names no click. Shorter than the parameter's
#: name, whose underscores may be encoded.
MARKER: Final = "cnct"
META_CTWA: Final = "meta_ctwa"
MAX_QUERY: Final = 16 * 1024  # characters; five escaped values of full length fit
MAX_VALUE: Final = 1024  # characters, after decoding

_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
# An ad or mail template leaves these behind when it fills nothing in.
_PLACEHOLDER: Final = re.compile(
    r"null|undefined|none|nil|nan|\(null\)|\(none\)"
    r"|\{\{.*\}\}|\$\{.*\}|<[^<>]*>|%%.*%%|\[\[.*\]\]",
    re.IGNORECASE,
)
_NAMES: Final = "|".join(PARAMETERS)
_LINK_END: Final = re.compile(r"[?#]")
_SEPARATOR: Final = re.compile(rf"&|%(?:3[Ff]|26)(?=(?:amp(?:;|%3[Bb]))?(?:{_NAMES})=)")
# What HTML makes of an ampersand, without its first characters, which separate.
_AMPERSAND: Final = re.compile(r"(?:(?:amp|0*38|x0*26);)+", re.IGNORECASE)
# Quotation marks, ellipses, invisible and full-width signs, as UTF-8 in a URL.
_FOREIGN: Final = (
    r"%E2%80%[89AB][0-9A-F]|%C2%(?:A0|AB|B4|BB)|%E3%80%[89][0-9A-F]"
    r"|%EF%BB%BF|%EF%BC%(?:8[1-79AC-F]|9[A-F]|BD)|%EF%BD%(?:80|9D|A1|A3|A4)"
)
_CLOSING: Final = re.compile(
    rf"""[)\]}}>"'`*.,:;!]|{_FOREIGN}""",
    re.IGNORECASE,
)
_CLOSING_RUN: Final = re.compile(rf"(?:{_CLOSING.pattern})+\Z", re.IGNORECASE)
_FULL_STOPS: Final = re.compile(r"\.+")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{6,}")
# Browsers encode a double quote, a single one and ">" by themselves.
_AFTER_DIGITS: Final = re.compile(
    rf"(\d+)(?:[!-$&-/:-@\[-`{{-~]|%2[27]|%3E|{_FOREIGN})+",
    re.IGNORECASE | re.ASCII,
)
_OPENING: Final = {")": "(", "]": "[", "}": "{", ">": "<"}
_QUOTES: Final = "\"'`*"
_MAX_RUN: Final = 64  # characters of closing punctuation
_META_CTWA_AND_TAIL: Final = re.compile(rf"{META_CTWA}[^a-z0-9]*", re.IGNORECASE)
_TAGGED: Final = re.compile(r"cnct[\W_]{0,3}tracking[\W_]{0,3}id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """One click's five parameters.

    Each is 1 to 1,024 characters of printable ASCII, exactly as in the URL, or ``""``
    if it is missing or unusable. An ``attribution_source`` that is missing or unusable
    counts as ``meta_ctwa``. ``values`` are the five, in the order of ``PARAMETERS``;
    ``missing`` names those that are empty; ``is_reportable`` is whether Connectly can
    credit the click: no id is missing and the source is Connectly's own.
    """

    cnct_tracking_id: str
    sendout_id: str = ""
    ctwa_clid: str = ""
    ad_id: str = ""
    attribution_source: str = META_CTWA
    values: tuple[str, ...] = field(init=False, repr=False, compare=False)
    missing: tuple[str, ...] = field(init=False, repr=False, compare=False)
    is_reportable: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        values = tuple([getattr(self, name) for name in PARAMETERS])
        named = zip(PARAMETERS, values, strict=True)
        missing = tuple([name for name, value in named if not value])
        is_reportable = not missing and self.attribution_source == META_CTWA
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "missing", missing)
        object.__setattr__(self, "is_reportable", is_reportable)


class Note(NamedTuple):
    """What was not kept of a parameter. Never carries the value itself.

    ``reason`` is a code. ``punctuation_cut`` and ``normalized`` are repairs: the rest
    of the value was kept, and ``length`` is that of the cut, or of the word as it was.
    """

    name: str
    length: int
    reason: str

    @property
    def is_repair(self) -> bool:
        """Whether a value was kept all the same."""
        return self.reason in {"punctuation_cut", "normalized"}


class Reading(NamedTuple):
    """What a URL says. ``lost`` is why a tagged URL gives no landing, else ``""``."""

    landing: Landing | None
    notes: tuple[Note, ...]
    lost: str


def is_tagged(query: str, path: str = "") -> bool:
    """Return whether the URL names ``cnct_tracking_id``, also if it is encoded."""
    if "cnct_tracking_id=" in query:
        return True
    return _TAGGED.search(unquote(unquote(f"{path}?{query}")).lower()) is not None


def read_url(query: str, path: str = "") -> Reading:
    """Read a page's raw query string and its path, as the server decoded it.

    The path counts if the query names no click: a link that encodes its ``?``, or that
    has ``&`` in its place, puts the parameters there. Never raises.
    """
    landing, notes = parse_query(query)
    lost = ""
    if landing is None and _TAGGED.search(path.lower()):
        landing, in_path, lost = _read_path(path)
        notes += in_path
    if landing is None:
        lost = lost or _why_lost(query, path, notes)
    return Reading(landing, notes, lost)


def parse_query(query: str) -> tuple[Landing | None, tuple[Note, ...]]:
    """Read a raw query string, or a whole address as a browser has it.

    Values are percent-decoded once by RFC 3986, so a raw ``+`` stays a plus. Never
    raises. Returns the landing, or None without a usable ``cnct_tracking_id``, and what
    was refused or repaired.
    """
    if len(query) > MAX_QUERY:
        return None, (Note("query", len(query), "too_long"),)
    params: dict[str, list[str]] = {}
    cuts: dict[str, Note] = {}  # the last of each name
    for link in _LINK_END.split(query):
        pieces = _SEPARATOR.split(link)
        for number, piece in enumerate(pieces, 1):
            raw, separator, value = piece.partition("=")
            if not separator:
                continue
            name = _decoded(raw)
            if ampersand := _AMPERSAND.match(name):
                name = name[ampersand.end() :]
            if name not in PARAMETERS:
                continue
            is_last = number == len(pieces)  # a link ends there
            kept = _without_closing(name, value) if is_last else value
            if len(kept) < len(value):
                cuts[name] = Note(name, len(value) - len(kept), "punctuation_cut")
            params.setdefault(name, []).append(_decoded(kept))
    landing, notes = _landing(params)
    return landing, (*cuts.values(), *notes)


def parse_params(
    params: Mapping[str, object],
) -> tuple[Landing | None, tuple[Note, ...]]:
    """Read values that are decoded already, by the same rules as `parse_query`.

    Which value ended the link is not known, so no punctuation is cut.
    """
    found: dict[str, list[object]] = {}
    for name in PARAMETERS:
        for given in (f"amp;{name}", name):
            if given in params:
                found.setdefault(name, []).append(params[given])
    return _landing(found)


def _decoded(raw: str) -> str:
    if "%" not in raw:
        return raw
    # WSGI passes bytes as latin-1: here those outside ASCII are refused.
    return unquote_to_bytes(raw.encode("utf-8", "surrogatepass")).decode("latin-1")


def _without_closing(name: str, value: str) -> str:
    if name == "ad_id" and (match := _AFTER_DIGITS.fullmatch(value)):
        return match[1]
    run = _CLOSING_RUN.search(value, max(0, len(value) - _MAX_RUN))
    if run is None:
        return value
    body = value[: run.start()]
    if _FULL_STOPS.fullmatch(run[0]) and not _PLAIN.fullmatch(body):
        return value
    is_open = {mark: body.count(mark) % 2 for mark in _QUOTES}
    is_open |= {
        mark: max(0, body.count(opening) - body.count(mark))
        for mark, opening in _OPENING.items()
    }
    end = run.start()
    for sign in _CLOSING.finditer(value, run.start()):
        if is_open.get(sign[0]):
            is_open[sign[0]] -= 1
            end = sign.end()
    return value[:end]


def _landing(
    params: Mapping[str, Sequence[object]],
) -> tuple[Landing | None, tuple[Note, ...]]:
    kept: dict[str, str] = {}
    notes: list[Note] = []
    for name in PARAMETERS:
        refused: list[Note] = []
        for value in reversed(params.get(name, ())):
            refusal = _note_on(name, value)
            if refusal is None or refusal.is_repair:
                kept[name] = META_CTWA if refusal else cast("str", value)
                refused = [one for one in refused if one.reason != "empty"]
                notes += [refusal] if refusal else []
                break
            refused.append(refusal)
        # One for each name, and an empty value only if there is nothing else to say.
        notes += sorted(refused, key=lambda one: one.reason == "empty")[:1]
    landing = Landing(**kept) if "cnct_tracking_id" in kept else None
    return landing, tuple(notes)


def _note_on(name: str, value: object) -> Note | None:
    if not isinstance(value, str):
        return Note(name, 0, "not_text")
    reason = ""
    if not value:
        reason = "empty"
    elif len(value) > MAX_VALUE:
        reason = "too_long"
    elif name == "attribution_source" and _META_CTWA_AND_TAIL.fullmatch(value):
        reason = "" if value == META_CTWA else "normalized"
    elif not _PRINTABLE.fullmatch(value):
        reason = "not_printable_ascii"
    elif _PLACEHOLDER.fullmatch(value):
        reason = "placeholder"
    return Note(name, len(value), reason) if reason else None


def _read_path(path: str) -> tuple[Landing | None, tuple[Note, ...], str]:
    """Read a decoded path, if it can be told what the link encoded. Or say why not."""
    tail = path[path.lower().find(MARKER) :]
    pieces = _LINK_END.sub("&", tail.rstrip("/")).split("&")
    if "%" in tail or not all("=" in piece for piece in pieces):
        return None, (), "unclear_path"
    landing, notes = parse_query(path)
    # Django appends a slash; an id may end in one.
    if path.endswith("/") and landing != parse_query(path[:-1])[0]:
        return None, (), "unclear_path"
    return landing, notes, ""


def _why_lost(query: str, path: str, notes: Iterable[Note]) -> str:
    for note in notes:
        if note.name in {"query", "cnct_tracking_id"} and not note.is_repair:
            return note.reason
    url = f"{path}?{query}"
    named = _TAGGED.search(url)
    if named and not url.startswith("%", named.end()):
        return "not_a_parameter"
    if not named and _TAGGED.search(url.lower()):
        return "other_case"
    if not _TAGGED.search(unquote(unquote(url)).lower()):
        return ""
    names = [piece.partition("=")[0] for piece in re.split("[?&#]", url)]
    is_name = any(_TAGGED.search(unquote(unquote(name)).lower()) for name in names)
    return "encoded" if is_name else "in_a_value"
