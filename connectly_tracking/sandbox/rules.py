"""Every documented rule of the endpoint: from a request to Connectly's answer.

The documented body is one table: every field, its type, and what is required.
"""

from __future__ import annotations

import hmac
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any, Final, TypeGuard

from .wire import CONFIRMED, Answer

BODY_LIMIT: Final = 1024 * 1024  # bytes
MAX_PROBLEMS: Final = 50

_PATH: Final = re.compile(r"/external/v1/businesses/([^/]+)/conversion_events")

_KINDS: Final = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "a number",
    Decimal: "a number",
    bool: "a boolean",
    type(None): "null",
}

#: As seconds this is the year 5138, so milliseconds were meant.
TOO_LARGE: Final = 100_000_000_000
CLOCK_SKEW: Final = 300  # seconds by which two clocks may differ

_CLICK: Final = ("ctwa_clid", "ad_id")


def is_endpoint(path: str) -> bool:
    """Whether ``path`` is the conversion endpoint of any business."""
    return _PATH.fullmatch(path.partition("?")[0]) is not None


def apply_rules(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    business_id: str,
    api_key: str,
    now: float,
    meta_max_age: float | None = None,
) -> Answer:
    """The names of ``headers`` are in lower case; ``now`` is in Unix seconds.

    Meta refuses an event older than ``meta_max_age`` seconds; None: at no age.
    """
    route = _PATH.fullmatch(path.partition("?")[0])
    if route is None:
        return Answer.from_error(404, "no such endpoint")
    if method != "POST":
        return Answer.from_error(405, f"{method} is not allowed", {"Allow": "POST"})
    if "x-api-key" not in headers:
        return Answer.from_error(401, "Unauthenticated: X-API-KEY is missing")
    # Header values are latin-1 on the wire; compare_digest accepts only ASCII text.
    sent = headers["x-api-key"].encode("latin-1", "replace")
    if not hmac.compare_digest(sent, api_key.encode()):
        return Answer.from_error(401, "Unauthenticated: X-API-KEY is not valid")
    if route[1].lower() != business_id.lower():
        return Answer.from_error(404, "business not found")
    content_type = headers.get("content-type", "").partition(";")[0].strip()
    if content_type.lower() != "application/json":
        return Answer.from_error(400, "Content-Type must be application/json")
    if len(body) > BODY_LIMIT:
        return Answer.from_error(413, f"the body is larger than {BODY_LIMIT} bytes")
    try:
        document = parse_document(body)
    except DocumentError as exc:
        return Answer.from_error(400, str(exc))
    problem = next(problems_in(document, now=now), None)
    if problem is not None:
        return Answer.from_error(400, problem.message)
    event_time = document["payload"].get("event_time", now)
    if meta_max_age is not None and event_time < now - meta_max_age:
        return refused_by_meta(
            "(#100) Event Timestamp Too Old: the event is more than"
            f" {meta_max_age / 86_400:g} days old"
        )
    return CONFIRMED


def list_problems(body: bytes, *, now: float) -> list[Problem]:
    """All problems of a body, of which `apply_rules` names the first; at most 50."""
    if len(body) > BODY_LIMIT:
        return [Problem("", f"the body is larger than {BODY_LIMIT} bytes")]
    try:
        return list(islice(problems_in(parse_document(body), now=now), MAX_PROBLEMS))
    except DocumentError as exc:
        return [Problem("", str(exc))]


def refused_by_meta(message: str) -> Answer:
    """A 400 with Meta's message; Connectly has counted the event nevertheless."""
    refusal = Answer.from_error(400, message)
    return Answer(status=400, body=refusal.body, counted=True)


@dataclass(frozen=True, slots=True)
class Problem:
    """A broken rule; ``field`` is such as ``payload.contents[0].id``, or empty."""

    field: str
    message: str


_Check = Callable[[Any, str], Iterator[Problem]]


class DocumentError(ValueError):
    """A body that breaks a documented rule; ``str()`` is the message to the client."""


def parse_document(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``; numbers with a point are ``Decimal``."""
    try:
        document = json.loads(
            body.decode(),
            parse_float=Decimal,
            parse_constant=_constant,
            object_pairs_hook=_unique,
        )
    except DocumentError:
        raise
    except (ValueError, ArithmeticError, RecursionError) as exc:
        raise DocumentError(f"the body is not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise DocumentError(f"the body must be an object, not {_kind(document)}")
    return document


def problems_in(document: dict[str, Any], *, now: float) -> Iterator[Problem]:
    """Every broken rule, in the order of the checks. ``now`` is in Unix seconds."""
    yield from _EVENT(document, "")
    payload = document.get("payload")
    if not isinstance(payload, dict):
        return
    if document.get("event_name") == "Purchase":
        for field in ("currency", "value"):
            if field not in payload:
                name = f"payload.{field}"
                yield Problem(name, f"{name} is required for a Purchase")
    name, time = "payload.event_time", payload.get("event_time")
    if not _is_number(time):
        return
    if time >= TOO_LARGE:
        yield Problem(name, f"{name} must be in seconds, not milliseconds")
    elif time > now + CLOCK_SKEW:
        yield Problem(name, f"{name} is in the future")


def order_id_of(body: bytes) -> str | None:
    """The order id in a body, however invalid the rest of it is."""
    try:
        order_id = json.loads(body)["payload"]["order_id"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return order_id if isinstance(order_id, str) else None


def _constant(name: str) -> None:
    raise DocumentError(f"the body is not JSON: {name} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise DocumentError(f"duplicate key {_quoted(twice)}")
    return members


def _kind(value: Any) -> str:
    return _KINDS[type(value)]


def _quoted(name: str) -> str:
    return json.dumps(name[:80])


def _is_number(value: Any) -> TypeGuard[int | Decimal]:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _string(value: Any, name: str) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield Problem(name, f"{name} must be a string, not {_kind(value)}")


def _filled(value: Any, name: str) -> Iterator[Problem]:
    yield from _string(value, name)
    if value == "":
        yield Problem(name, f"{name} must not be empty")


def _event_name(value: Any, name: str) -> Iterator[Problem]:
    yield from _filled(value, name)
    if isinstance(value, str) and value not in ("", "Purchase", "ViewContent"):
        yield Problem(
            name,
            f'{name} must be "Purchase" or "ViewContent", not {_quoted(value)}',
        )


def _currency(value: Any, name: str) -> Iterator[Problem]:
    yield from _string(value, name)
    if isinstance(value, str) and not re.fullmatch("[A-Z]{3}", value):
        yield Problem(
            name,
            f"{name} must be an ISO 4217 code, three capital letters,"
            f" not {_quoted(value)}",
        )


def _number(value: Any, name: str) -> Iterator[Problem]:
    if not _is_number(value):
        yield Problem(name, f"{name} must be a number, not {_kind(value)}")


def _list(of: _Check) -> _Check:
    def check(value: Any, name: str) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield Problem(name, f"{name} must be a list, not {_kind(value)}")
            return
        for index, item in enumerate(value):
            yield from of(item, f"{name}[{index}]")

    return check


def _object(fields: Mapping[str, _Check], *, required: tuple[str, ...] = ()) -> _Check:
    def check(value: Any, name: str) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield Problem(name, f"{name} must be an object, not {_kind(value)}")
            return
        prefix = f"{name}." if name else ""
        for key in value:
            if key not in fields:
                yield Problem(f"{prefix}{key}", _unknown(key, prefix, fields))
        for key in required:
            if key not in value:
                yield Problem(f"{prefix}{key}", f"{prefix}{key} is required")
        for key, item in value.items():
            if key in fields:
                yield from fields[key](item, f"{prefix}{key}")

    return check


def _unknown(key: str, prefix: str, fields: Mapping[str, _Check]) -> str:
    outer, dot, _ = key.partition(".")
    if dot and outer in ("attribution", "payload", "meta_ctwa"):
        return (
            f"{_quoted(key)} is a flat key; nest it, as in"
            ' {"payload": {"currency": "USD"}}'
        )
    known = ", ".join(fields)
    return f"unknown key {_quoted(prefix + key)}; known here: {known}"


_ITEM: Final = {"id": _string, "quantity": _number, "item_price": _number}
_META: Final = _object(dict.fromkeys(_CLICK, _filled), required=_CLICK)
_EVENT: Final = _object(
    {
        "cnct_tracking_id": _filled,
        "event_name": _event_name,
        "sendout_id": _filled,
        "attribution": _object({"meta_ctwa": _META}, required=("meta_ctwa",)),
        "payload": _object(
            {
                "currency": _currency,
                "value": _number,
                "order_id": _string,
                "content_type": _string,
                "content_ids": _list(_string),
                "num_items": _number,
                "contents": _list(_object(_ITEM, required=("id", "quantity"))),
                "event_time": _number,
            }
        ),
    },
    required=(
        "cnct_tracking_id",
        "event_name",
        "sendout_id",
        "attribution",
        "payload",
    ),
)
