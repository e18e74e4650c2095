"""The page and its neighbours: what was seen, what is to happen. For this host only."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from .answer import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .endpoint import Endpoint
    from .wire import Request

_HOST: Final = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::[0-9]*)?")
_SAFE: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
        " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
}


class Control:
    """``host`` is the one listened on; a browser elsewhere has no business here."""

    def __init__(self, endpoint: Endpoint, *, host: str) -> None:
        self._ledger = endpoint.ledger
        self._script = endpoint.script
        self._endpoint = endpoint
        self._host = host.lower()
        page = files(__package__).joinpath("page.html").read_bytes()
        self._page = Answer(
            status=200,
            body=page,
            content_type="text/html; charset=utf-8",
            headers=tuple(_SAFE.items()),
        )
        self._routes: dict[str, dict[str, Callable[[Request], Answer]]] = {
            "/": {"GET": lambda _: self._page},
            "/healthz": {"GET": lambda _: _said({"status": "ok"})},
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
        return request.fields.get("origin", f"http://{host}").lower() == (
            f"http://{host}"
        )

    def _is_near(self, name: str) -> bool:
        if name in ("localhost", self._host):
            return True
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return False

    def _show_events(self, request: Request) -> Answer:
        query = parse_qs(request.path.partition("?")[2])
        after = query.get("after", ["0"])[-1]
        if not re.fullmatch("[0-9]{1,18}", after):
            return _refused(400, "after must be the number of a request")
        seen = [r for r in self._ledger.requests if r.number > int(after)]
        return _said(
            {
                "events": [r.as_json() for r in seen if r.counted],
                "refused": [r.as_json() for r in seen if not r.counted],
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


def _said(document: Any) -> Answer:
    return Answer.from_json(document, headers=_SAFE)


def _refused(status: int, words: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer.from_error(status, words, {**_SAFE, **(headers or {})})
