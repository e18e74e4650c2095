"""Every documented rule of the endpoint: a request in, Connectly's answer out."""

from __future__ import annotations

import hmac
import re
from itertools import islice
from typing import TYPE_CHECKING, Final

from .answer import CONFIRMED, Answer
from .document import DocumentError, Fault, check, faults, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BODY: Final = 1024 * 1024
MAX_FAULTS: Final = 50  # nobody reads more

_PATH: Final = re.compile(r"/external/v1/businesses/([^/]+)/conversion_events")


def is_endpoint(path: str) -> bool:
    """Whether ``path`` is the conversion endpoint, of whichever business."""
    return _PATH.fullmatch(path.partition("?")[0]) is not None


def judge(
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
    """Names of ``headers`` are in lower case; ``now`` is in Unix seconds.

    ``meta_max_age``: seconds past which Meta refuses an event; None: it never does.
    """
    route = _PATH.fullmatch(path.partition("?")[0])
    if route is None:
        return Answer.from_error(404, "no such endpoint")
    if method != "POST":
        return Answer.from_error(405, f"{method} is not allowed", {"Allow": "POST"})
    if "x-api-key" not in headers:
        return Answer.from_error(401, "Unauthenticated: X-API-KEY is missing")
    # Header values are latin-1 on the wire; compare_digest takes no such text.
    sent = headers["x-api-key"].encode("latin-1", "replace")
    if not hmac.compare_digest(sent, api_key.encode()):
        return Answer.from_error(401, "Unauthenticated: X-API-KEY is not valid")
    if route[1] != business_id:
        return Answer.from_error(404, "business not found")
    content_type = headers.get("content-type", "").partition(";")[0].strip()
    if content_type.lower() != "application/json":
        return Answer.from_error(400, "Content-Type must be application/json")
    if len(body) > MAX_BODY:
        return Answer.from_error(413, f"the body is larger than {MAX_BODY} bytes")
    try:
        document = parse(body)
        check(document, now=now)
    except DocumentError as exc:
        return Answer.from_error(400, str(exc))
    event_time = document["payload"].get("event_time", now)
    if meta_max_age is not None and event_time < now - meta_max_age:
        return refused_by_meta(
            "(#100) Event Timestamp Too Old: the event is more than"
            f" {meta_max_age / 86_400:g} days old"
        )
    return CONFIRMED


def find_faults(body: bytes, *, now: float) -> list[Fault]:
    """What is wrong with a body, all of it; ``judge`` says the first."""
    if len(body) > MAX_BODY:
        return [Fault("", f"the body is larger than {MAX_BODY} bytes")]
    try:
        return list(islice(faults(parse(body), now=now), MAX_FAULTS))
    except DocumentError as exc:
        return [Fault("", str(exc))]


def refused_by_meta(words: str) -> Answer:
    """A 400 with Meta's words; Connectly has counted the event all the same."""
    refusal = Answer.from_error(400, words)
    return Answer(status=400, body=refusal.body, counted=True)
