"""JSON in and out with every number as it was written: 99.90 stays 99.90."""

from __future__ import annotations

import json
from typing import Any


class Number(str):
    """A number's own characters."""

    __slots__ = ()


def loads(text: str) -> Any:
    return json.loads(text, parse_float=Number, parse_int=Number)


def dumps(value: Any, *, indent: int | None = None, _margin: str = "\n") -> str:
    """Without ``indent``, on one line."""
    if isinstance(value, Number):
        return str(value)
    if not value or not isinstance(value, dict | list):
        return json.dumps(value)
    inner, outer = (_margin + " " * indent, _margin) if indent else ("", "")
    separator = f",{inner or ' '}"
    if isinstance(value, list):
        parts = [dumps(part, indent=indent, _margin=inner) for part in value]
        return f"[{inner}{separator.join(parts)}{outer}]"
    pairs = [
        f"{json.dumps(key)}: {dumps(part, indent=indent, _margin=inner)}"
        for key, part in value.items()
    ]
    return f"{{{inner}{separator.join(pairs)}{outer}}}"
