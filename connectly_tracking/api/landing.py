"""The five landing parameters: read from a query string once, verbatim or not at all.

Knows no Django::

    >>> landing, refused = parse("cnct_tracking_id=a%2Bb&sendout_id=s&ad_id=9")
    >>> landing.cnct_tracking_id, landing.missing
    ('a+b', ('ctwa_clid',))
"""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PARAMETERS: Final = (
    "cnct_tracking_id",
    "sendout_id",
    "ctwa_clid",
    "ad_id",
    "attribution_source",
)
#: A query string without this substring is no landing; the middleware looks no further.
MARKER: Final = "cnct_tracking_id="
META_CTWA: Final = "meta_ctwa"
MAX_QUERY: Final = 16 * 1024  # characters; five escaped values of full length fit
MAX_VALUE: Final = 1024  # characters, after decoding

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
# What an ad or mail template leaves behind when nothing was filled in.
_PLACEHOLDER = re.compile(
    r"null|undefined|none|nil|nan|\(null\)|\(none\)"
    r"|\{\{.*\}\}|\$\{.*\}|<[^<>]*>|%%.*%%|\[\[.*\]\]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """One click's five parameters (seed: "Capture tracking parameters at landing").

    Each is 1 to 1,024 characters of printable ASCII exactly as it stood in the URL, or
    ``""`` where the link lacked it.
    """

    cnct_tracking_id: str
    sendout_id: str = ""
    ctwa_clid: str = ""
    ad_id: str = ""
    attribution_source: str = META_CTWA

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the parameters that the link lacked."""
        return tuple(name for name in PARAMETERS if not getattr(self, name))

    @property
    def is_reportable(self) -> bool:
        """Whether Connectly can credit it: all ids are there, the source is its own."""
        return not self.missing and self.attribution_source == META_CTWA

    @property
    def size(self) -> int:
        """Characters in all five values."""
        return sum(map(len, astuple(self)))


class Refusal(NamedTuple):
    """A parameter that was not kept. Never carries the value itself."""

    name: str
    length: int
    reason: str


def parse(query: str) -> tuple[Landing | None, tuple[Refusal, ...]]:
    """Read a raw query string: split on ``&``, names exact, last of several wins.

    Values are percent-decoded once by RFC 3986, so a raw ``+`` stays a plus. Never
    raises. Returns the landing, or None without a usable ``cnct_tracking_id``, and what
    was refused.
    """
    if len(query) > MAX_QUERY:
        return None, (Refusal("query", len(query), "too_long"),)
    raw = {}
    for pair in query.split("&"):
        name, separator, value = pair.partition("=")
        if separator and name in PARAMETERS:
            raw[name] = value
    return _landing((name, _decode(value)) for name, value in raw.items())


def from_params(
    params: Mapping[str, object],
) -> tuple[Landing | None, tuple[Refusal, ...]]:
    """Read values that somebody else has decoded, by the same rules as `parse`."""
    found = ((name, params[name]) for name in PARAMETERS if name in params)
    return _landing(
        (name, value if isinstance(value, str) else None) for name, value in found
    )


def _landing(
    pairs: Iterable[tuple[str, str | None]],
) -> tuple[Landing | None, tuple[Refusal, ...]]:
    kept: dict[str, str] = {}
    refused: list[Refusal] = []
    for name, value in pairs:
        if reason := _fault(value):
            refused.append(Refusal(name, len(value or ""), reason))
        elif value is not None:
            kept[name] = value
    landing = Landing(**kept) if "cnct_tracking_id" in kept else None
    return landing, tuple(refused)


def _decode(value: str) -> str:
    if "%" not in value:
        return value
    # WSGI hands bytes over as latin-1, so those outside ASCII survive to be refused.
    return unquote_to_bytes(value.encode("utf-8", "surrogatepass")).decode("latin-1")


def _fault(value: str | None) -> str:
    if value is None:
        return "not_text"
    if not value:
        return "empty"
    if len(value) > MAX_VALUE:
        return "too_long"
    if not _PRINTABLE.fullmatch(value):
        return "not_printable_ascii"
    if _PLACEHOLDER.fullmatch(value):
        return "placeholder"
    return ""
