"""The page and its JSON: requests so far, behaviours to come. For this host only."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from importlib.resources import files
from ipaddress import ip_address
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote

from .behaviour import OK
from .rules import is_endpoint, list_problems
from .wire import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .endpoint import Endpoint, Received
    from .wire import Request

_HOST: Final = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::[0-9]*)?")
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
}
_PAGE: Final = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.svg": ("page.svg", "image/svg+xml"),
    "/page.es.json": ("page.es.json", "application/json"),
    "/page.pt-br.json": ("page.pt-br.json", "application/json"),
}


class Control:
    """``host`` is the one listened on; other hosts' pages are refused."""

    def __init__(self, endpoint: Endpoint, *, host: str) -> None:
        self._ledger = endpoint.ledger
        self._script = endpoint.script
        self._endpoint = endpoint
        self._host = host.lower()
        #: Tells the page that another sandbox answers, which numbers from 1 again.
        self._id = token_hex(8)
        self._routes: dict[str, dict[str, Callable[[Request], Answer]]] = {
            **{path: {"GET": _file(*file)} for path, file in _PAGE.items()},
            "/healthz": {"GET": lambda _: _json({"status": "ok"})},
            "/about": {"GET": lambda _: self._about()},
            "/events": {"GET": self._events, "DELETE": self._clear_events},
            "/behaviours": {
                "GET": lambda _: self._behaviours(),
                "POST": self._add_behaviour,
                "DELETE": self._clear_behaviours,
            },
        }

    def answer(self, request: Request) -> Answer | None:
        """None if the path is not the page's: then it is for the endpoint."""
        path = request.path.partition("?")[0]
        methods = self._routes.get(path)
        if methods is None:
            return None
        if path != "/healthz" and not self._is_allowed(request):
            return _error(403, "only allowed for pages of this sandbox, on this host")
        method = "GET" if request.method == "HEAD" else request.method
        if method not in methods:
            allowed = {"Allow": ", ".join(methods)}
            return _error(405, f"{request.method} is not allowed", allowed)
        return methods[method](request)

    def _is_allowed(self, request: Request) -> bool:
        host = request.fields.get("host", "").lower()
        match = _HOST.fullmatch(host)
        if match is None or not self._is_local(match[1] or match[2] or ""):
            return False
        origin = request.fields.get("origin", f"http://{host}").lower()
        return origin == f"http://{host}" and _is_same_origin(request)

    def _is_local(self, name: str) -> bool:
        if name in ("localhost", self._host):
            return True
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return False

    def _about(self) -> Answer:
        # Never the key.
        business = quote(self._endpoint.business_id, safe="")
        path = f"/external/v1/businesses/{business}/conversion_events"
        return _json({"path": path, "sandbox": self._id})

    def _events(self, request: Request) -> Answer:
        query = parse_qs(request.path.partition("?")[2])
        after = query.get("after", ["0"])[-1]
        if not re.fullmatch("[0-9]{1,18}", after):
            return _error(400, "after must be a request number")
        received = [r for r in self._ledger.requests if r.number > int(after)]
        return _json(
            {
                "events": [_as_json(r) for r in received if r.counted],
                "refused": [_as_json(r) for r in received if not r.counted],
                "received_count": self._ledger.received_count,
                "event_count": self._ledger.event_count,
                "oldest": self._ledger.oldest,
                "sandbox": self._id,
            }
        )

    def _clear_events(self, request: Request) -> Answer:
        self._ledger.clear()
        return self._events(request)

    def _behaviours(self) -> Answer:
        return _json(
            {"behaviours": self._script.pending(), "delay": self._endpoint.delay}
        )

    def _add_behaviour(self, request: Request) -> Answer:
        content_type = request.fields.get("content-type", "").partition(";")[0]
        if content_type.strip().lower() != "application/json":
            return _error(415, "Content-Type must be application/json")
        try:
            step = json.loads(request.body)
            if not isinstance(step, dict) or "behaviour" not in step:
                raise ValueError('send {"behaviour": "500", "times": 3}')
            unknown = step.keys() - {"behaviour", "times", "order_id"}
            if unknown:
                raise ValueError(f"unknown key {min(unknown)!r}")
            self._script.add(
                step["behaviour"],
                times=step.get("times"),
                order_id=step.get("order_id"),
            )
        except (ValueError, RecursionError) as exc:
            return _error(400, str(exc))
        return self._behaviours()

    def _clear_behaviours(self, request: Request) -> Answer:
        self._script.clear()
        return self._behaviours()


def _file(name: str, content_type: str) -> Callable[[Request], Answer]:
    body = files(__package__).joinpath(name).read_bytes()
    answer = Answer(
        status=200,
        body=body,
        content_type=content_type,
        headers=tuple(_HEADERS.items()),
    )
    return lambda _: answer


def _is_same_origin(request: Request) -> bool:
    """Whether the request is not one that a page of another site makes."""
    site = request.fields.get("sec-fetch-site", "none")
    # A link on another site may open the page, but may not change anything.
    is_link = request.fields.get("sec-fetch-mode") == "navigate"
    return site in ("same-origin", "none") or (is_link and request.method == "GET")


def _as_json(received: Received) -> dict[str, Any]:
    """A request as it is logged, with all problems of its body."""
    confirmed = received.counted and received.behaviour == OK.text
    is_event = received.method == "POST" and is_endpoint(received.path)
    problems = (
        list_problems(received.body, now=received.received_at.timestamp())
        if is_event and received.body and not confirmed
        else []
    )
    return {**received.as_json(), "problems": [asdict(it) for it in problems]}


def _json(document: Any) -> Answer:
    return Answer.from_json(document, headers=_HEADERS)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer.from_error(status, message, {**_HEADERS, **(headers or {})})
