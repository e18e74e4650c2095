"""Every documented rule of the endpoint: from a request to Connectly's answer."""

from __future__ import annotations

import hmac
import re
from itertools import islice
from typing import TYPE_CHECKING, Final

from .answer import CONFIRMED, Answer
from .document import DocumentError, Problem, parse_document, problems_in

if TYPE_CHECKING:
    from collections.abc import Mapping

BODY_LIMIT: Final = 1024 * 1024  # bytes
MAX_PROBLEMS: Final = 50

_PATH: Final = re.compile(r"/external/v1/businesses/([^/]+)/conversion_events")


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
    if route[1] != business_id:
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
