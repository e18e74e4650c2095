"""The page and its neighbours: what was seen, what is to happen. For this host only."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from importlib.resources import files
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote

from .answer import Answer
from .behaviour import OK
from .rules import find_faults, is_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from .endpoint import Endpoint
    from .ledger import Received
    from .wire import Request

_HOST: Final = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::[0-9]*)?")
_SAFE: Final = {
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
}


class Control:
    """``host`` is the one listened on; a browser elsewhere has no business here."""

    def __init__(self, endpoint: Endpoint, *, host: str) -> None:
        self._ledger = endpoint.ledger
        self._script = endpoint.script
        self._endpoint = endpoint
        self._host = host.lower()
        self._routes: dict[str, dict[str, Callable[[Request], Answer]]] = {
            **{path: {"GET": _file(*file)} for path, file in _PAGE.items()},
            "/healthz": {"GET": lambda _: _said({"status": "ok"})},
            "/about": {"GET": lambda _: self._show_about()},
            "/events": {"GET": self._show_events, "DELETE": self._forget_events},
            "/behaviours": {
                "GET": lambda _: self._show_behaviours(),
                "POST": self._add_behaviour,
                "DELETE": self._forget_behaviours,
            },
        }

    def answer(self, request: Request) -> Answer | None:
        """None for what is not ours: that is for the endpoint, and recorded."""
        path = request.path.partition("?")[0]
        methods = self._routes.get(path)
        if methods is None:
            return None
        if path != "/healthz" and not self._is_welcome(request):
            return _refused(403, "only for pages of this sandbox, on this host")
        method = "GET" if request.method == "HEAD" else request.method
        if method not in methods:
            allowed = {"Allow": ", ".join(methods)}
            return _refused(405, f"{request.method} is not allowed", allowed)
        return methods[method](request)

    def _is_welcome(self, request: Request) -> bool:
        host = request.fields.get("host", "").lower()
        match = _HOST.fullmatch(host)
        if match is None or not self._is_near(match[1] or match[2] or ""):
            return False
        origin = request.fields.get("origin", f"http://{host}").lower()
        return origin == f"http://{host}" and _is_from_here(request)

    def _is_near(self, name: str) -> bool:
        if name in ("localhost", self._host):
            return True
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return False

    def _show_about(self) -> Answer:
        # Not the key: whoever may see it has it from where the sandbox has it.
        business = quote(self._endpoint.business_id, safe="")
        path = f"/external/v1/businesses/{business}/conversion_events"
        return _said({"path": path})

    def _show_events(self, request: Request) -> Answer:
        query = parse_qs(request.path.partition("?")[2])
        after = query.get("after", ["0"])[-1]
        if not re.fullmatch("[0-9]{1,18}", after):
            return _refused(400, "after must be the number of a request")
        seen = [r for r in self._ledger.requests if r.number > int(after)]
        return _said(
            {
                "events": [_shown(r) for r in seen if r.counted],
                "refused": [_shown(r) for r in seen if not r.counted],
                "received_count": self._ledger.received_count,
                "event_count": self._ledger.event_count,
                "oldest": self._ledger.oldest,
            }
        )

    def _forget_events(self, request: Request) -> Answer:
        self._ledger.clear()
        return self._show_events(request)

    def _show_behaviours(self) -> Answer:
        return _said(
            {"behaviours": self._script.pending(), "delay": self._endpoint.delay}
        )

    def _add_behaviour(self, request: Request) -> Answer:
        content_type = request.fields.get("content-type", "").partition(";")[0]
        if content_type.strip().lower() != "application/json":
            return _refused(415, "Content-Type must be application/json")
        try:
            wanted = json.loads(request.body)
            if not isinstance(wanted, dict) or "behaviour" not in wanted:
                raise ValueError('send {"behaviour": "500", "times": 3}')
            unknown = wanted.keys() - {"behaviour", "times", "order_id"}
            if unknown:
                raise ValueError(f"unknown key {min(unknown)!r}")
            self._script.add(
                wanted["behaviour"],
                times=wanted.get("times"),
                order_id=wanted.get("order_id"),
            )
        except (ValueError, RecursionError) as exc:
            return _refused(400, str(exc))
        return self._show_behaviours()

    def _forget_behaviours(self, request: Request) -> Answer:
        self._script.clear()
        return self._show_behaviours()


def _file(name: str, content_type: str) -> Callable[[Request], Answer]:
    body = files(__package__).joinpath(name).read_bytes()
    answer = Answer(
        status=200, body=body, content_type=content_type, headers=tuple(_SAFE.items())
    )
    return lambda _: answer


def _is_from_here(request: Request) -> bool:
    """Whether a browser, if it is one, asks for our own page or for its user."""
    site = request.fields.get("sec-fetch-site", "none")
    # A link from elsewhere may lead here; it is only looked at.
    is_link = request.fields.get("sec-fetch-mode") == "navigate"
    return site in ("same-origin", "none") or (is_link and request.method == "GET")


def _shown(received: Received) -> dict[str, Any]:
    """A request as it was logged, and all that is wrong with its body."""
    shown = received.as_json()
    confirmed = received.counted and received.behaviour == OK.text
    is_event = received.method == "POST" and is_endpoint(received.path)
    faults = (
        find_faults(received.body, now=received.received_at.timestamp())
        if is_event and received.body and not confirmed
        else []
    )
    return {**shown, "faults": [asdict(fault) for fault in faults]}


def _said(document: Any) -> Answer:
    return Answer.from_json(document, headers=_SAFE)


def _refused(status: int, words: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer.from_error(status, words, {**_SAFE, **(headers or {})})
