"""P1: a request without our parameters: ``python -m benchmarks.untagged``.

The call of the middleware alone, beside one that does nothing, and beside one that
searches the query for a name.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from .command import command
from .line import Line
from .shop import shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .line import Round

ROUNDS: Final = 15
SMALL: Final = {"calls": 200}
CHECK: Final = {"calls": 5000}
PART: Final = 100  # calls in a row, so that a slow moment hits all

LINES: Final = (
    Line(
        name="P1 untagged request, the call alone: what the middleware adds",
        of="added",
        unit="µs",
        goal=0.15,
        bound=1.0,
    ),
    Line(name="P1: what a substring search adds", of="search added", unit="µs"),
    Line(name="P1: a middleware that does nothing", of="nothing", unit="µs"),
    Line(
        name="P1: queries, uses of the session, `Vary` headers and cookies",
        of="traces",
        goal=0,
        bound=0,
    ),
)


@contextmanager
def subject(*, calls: int = 50_000) -> Iterator[Callable[[], Round]]:
    with shop("sqlite"):
        from django.http import HttpResponse
        from django.test import RequestFactory

        from connectly_tracking.middleware import AttributionMiddleware

        request = RequestFactory().get("/shoes/?color=red&size=38&utm_source=mail")
        response = HttpResponse()
        middlewares: dict[str, Callable[[Any], Any]] = {
            "nothing": Nothing(lambda _: response),
            "search": Search(lambda _: response),
            "ours": AttributionMiddleware(lambda _: response),
        }

        def measure() -> Round:
            took: dict[str, list[int]] = {name: [] for name in middlewares}
            for _ in range(calls // PART):
                for name, middleware in middlewares.items():
                    took[name].append(_time_of(middleware, request))
            each = {name: median(them) / PART / 1000 for name, them in took.items()}
            return {
                "nothing": each["nothing"],
                "added": each["ours"] - each["nothing"],
                "search added": each["search"] - each["nothing"],
                "traces": _traces(),
            }

        measure()  # which reads the settings
        yield measure


class Nothing:
    """What every middleware costs."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        return self.get_response(request)


class Search(Nothing):
    def __call__(self, request: Any) -> Any:
        if "cnct_tracking_id=" in request.META["QUERY_STRING"]:
            raise AssertionError
        return self.get_response(request)


def _time_of(middleware: Callable[[Any], Any], request: Any) -> int:
    began = time.perf_counter_ns()
    for _ in range(PART):
        middleware(request)
    return time.perf_counter_ns() - began


def _traces() -> int:
    from django.contrib.sessions.backends.db import SessionStore
    from django.db import connection
    from django.http import HttpResponse
    from django.test import RequestFactory
    from django.test.utils import CaptureQueriesContext

    from connectly_tracking.middleware import AttributionMiddleware

    request: Any = RequestFactory().get("/shoes/?color=red")
    request.session = SessionStore()
    with CaptureQueriesContext(connection) as queries:
        response: Any = AttributionMiddleware(lambda _: HttpResponse())(request)
    uses = request.session.accessed + request.session.modified
    marks: int = uses + ("Vary" in response) + len(response.cookies)
    return len(queries) + marks


if __name__ == "__main__":
    command("untagged")
