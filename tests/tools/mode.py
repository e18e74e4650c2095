"""The ways in which the proxy treats a connection, and how they are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

KNOWN: Final = (
    "pass",
    "refuse (ECONNREFUSED)",
    "mute (accepted, never answered)",
    "drop (packets are dropped: connecting hangs)",
    "reset (accepted, then RST)",
    "delay:SECONDS (each piece, both ways)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """What a behaviour does to the port, to each piece and to open connections."""

    door: Literal["open", "shut", "jammed"] = "open"
    seconds: float = 0.0
    resets: bool = False

    @classmethod
    def from_text(cls, text: str) -> Mode:
        """Raises ValueError, with the known spellings, for any other."""
        name, colon, argument = text.partition(":")
        if name == "delay":
            return cls(seconds=_seconds(text, argument))
        if name in _PLAIN and not colon:
            return _PLAIN[name]
        known = "\n  ".join(KNOWN)
        raise ValueError(f"unknown behaviour {text!r}; known:\n  {known}")


PASS: Final = Mode()
_PLAIN: Final = {
    "pass": PASS,
    "refuse": Mode(door="shut", resets=True),
    "mute": Mode(seconds=math.inf),
    "drop": Mode(door="jammed", seconds=math.inf),
    "reset": Mode(resets=True),
}


def _seconds(text: str, argument: str) -> float:
    try:
        seconds = float(argument)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{text!r}: a number of seconds must follow the colon")
    return seconds
