"""What one POST costs the CPU: ``python -m benchmarks.post``.

One thread, one connection, an API that answers at once; each way takes turns. Only the
CPU time of the sender counts.
"""

from __future__ import annotations

import json
import socket
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, Final

from .command import command
from .drain import PATH
from .line import Line
from .rows import body_of
from .shop import shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .api import Api
    from .line import Round

ROUNDS: Final = 15
SMALL: Final = {"posts": 5}
PART: Final = 20  # posts in a row
HEADERS: Final = {"Content-Type": "application/json", "X-API-KEY": "benchmarks-only"}

LINES: Final = (
    Line(name="One POST of ours, CPU", of="ours", unit="µs", goal=260),
    Line(name="by a requests.Session", of="requests.Session", unit="µs"),
    Line(name="by a pool of urllib3", of="urllib3", unit="µs"),
    Line(name="by http.client", of="http.client", unit="µs"),
    Line(name="by a socket", of="socket", unit="µs"),
    Line(
        name="One POST of ours beside a Session's",
        of="ours",
        beside="requests.Session",
        unit="µs",
    ),
)


@contextmanager
def subject(
    *, posts: int = 200, database: str = "sqlite"
) -> Iterator[Callable[[], Round]]:
    with shop(database) as made:
        body = json.dumps(body_of("ORD-1"))
        ways = _ways(made.api, body)

        def measure() -> Round:
            took = dict.fromkeys(ways, 0)
            parts = max(1, posts // PART)
            for _ in range(parts):
                for name, post in ways.items():
                    began = time.thread_time_ns()
                    for _ in range(PART):
                        post()
                    took[name] += time.thread_time_ns() - began
            return {name: each / 1000 / PART / parts for name, each in took.items()}

        measure()  # all have connected
        yield measure


def _ways(api: Api, body: str) -> dict[str, Callable[[], object]]:
    import requests
    import urllib3

    from connectly_tracking.api.verdicts import Outcome
    from connectly_tracking.delivery.run import Run

    (account,) = Run.begin().accounts().values()
    data, url = body.encode(), api.url + PATH
    session, pool = requests.Session(), urllib3.PoolManager()
    connection = HTTPConnection("127.0.0.1", api.port)
    wire = socket.create_connection(("127.0.0.1", api.port))
    head = f"POST {PATH} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(data)}\r\n\r\n"
    message = head.encode() + data

    def ours() -> None:
        assert account.client.post(body).outcome == Outcome.CONFIRMED

    def by_session() -> None:
        _check(session.post(url, data=data, headers=HEADERS, timeout=20).json())

    def by_urllib3() -> None:
        _check(pool.request("POST", url, body=data, headers=HEADERS).json())

    def by_http_client() -> None:
        connection.request("POST", PATH, data, HEADERS)
        _check(json.loads(connection.getresponse().read()))

    def by_socket() -> None:
        wire.sendall(message)
        assert wire.recv(4096).endswith(b"}")

    return {
        "ours": ours,
        "requests.Session": by_session,
        "urllib3": by_urllib3,
        "http.client": by_http_client,
        "socket": by_socket,
    }


def _check(answer: Any) -> None:
    assert answer["events_received"] == 1


if __name__ == "__main__":
    command("post")
