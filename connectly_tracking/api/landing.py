"""The five landing parameters, read from a query string verbatim or not at all.

Knows no Django::

    >>> landing, refused = parse_query("cnct_tracking_id=a%2Bb&sendout_id=s&ad_id=9")
    >>> landing.cnct_tracking_id, landing.missing
    ('a+b', ('ctwa_clid',))
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETERS: Final = (
    "cnct_tracking_id",
    "sendout_id",
    "ctwa_clid",
    "ad_id",
    "attribution_source",
)
#: A query string without this substring is not a landing.
MARKER: Final = "cnct_tracking_id="
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """One click's five parameters (seed: "Capture tracking parameters at landing").

    Each is 1 to 1,024 characters of printable ASCII, exactly as in the URL, or ``""``
    if the link lacked it. ``missing`` names the parameters that the link lacked;
    ``is_reportable`` is whether Connectly can credit the click: no id is missing and
    the source is Connectly's own.
    """

    cnct_tracking_id: str
    sendout_id: str = ""
    ctwa_clid: str = ""
    ad_id: str = ""
    attribution_source: str = META_CTWA
    missing: tuple[str, ...] = field(init=False, repr=False, compare=False)
    is_reportable: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        missing = tuple([name for name in PARAMETERS if not getattr(self, name)])
        is_reportable = not missing and self.attribution_source == META_CTWA
        object.__setattr__(self, "missing", missing)
        object.__setattr__(self, "is_reportable", is_reportable)

    @property
    def values(self) -> tuple[str, ...]:
        """The five values, in the order of ``PARAMETERS``."""
        return tuple([getattr(self, name) for name in PARAMETERS])

    @property
    def size(self) -> int:
        """Characters in all five values."""
        return len("".join(self.values))


class Refusal(NamedTuple):
    """A parameter that was not kept. Never carries the value itself."""

    name: str
    length: int
    reason: str


def parse_query(query: str) -> tuple[Landing | None, tuple[Refusal, ...]]:
    """Read a raw query string: split on ``&``, names exact, the last of several wins.

    Values are percent-decoded once by RFC 3986, so a raw ``+`` stays a plus. Never
    raises. Returns the landing, or None without a usable ``cnct_tracking_id``, and the
    parameters that were refused.
    """
    if len(query) > MAX_QUERY:
        return None, (Refusal("query", len(query), "too_long"),)
    params = {}
    for pair in query.split("&"):
        name, separator, value = pair.partition("=")
        if separator and name in PARAMETERS:
            if "%" in value:
                raw = value.encode("utf-8", "surrogatepass")
                # WSGI passes bytes as latin-1: here those outside ASCII are refused.
                value = unquote_to_bytes(raw).decode("latin-1")
            params[name] = value
    return parse_params(params)


def parse_params(
    params: Mapping[str, object],
) -> tuple[Landing | None, tuple[Refusal, ...]]:
    """Read values that are decoded already, by the same rules as `parse_query`."""
    kept: dict[str, str] = {}
    refused: list[Refusal] = []
    for name in PARAMETERS:
        if name not in params:
            continue
        value = params[name]
        if not isinstance(value, str):
            refused.append(Refusal(name, 0, "not_text"))
        elif reason := _reason_to_refuse(value):
            refused.append(Refusal(name, len(value), reason))
        else:
            kept[name] = value
    landing = Landing(**kept) if "cnct_tracking_id" in kept else None
    return landing, tuple(refused)


def _reason_to_refuse(value: str) -> str:
    if not value:
        return "empty"
    if len(value) > MAX_VALUE:
        return "too_long"
    if not _PRINTABLE.fullmatch(value):
        return "not_printable_ascii"
    if _PLACEHOLDER.fullmatch(value):
        return "placeholder"
    return ""
