"""P6: what an order waits for a broker in trouble: ``python -m benchmarks.broker``.

Each round is a process's first wake-up message, and its second: after an error none is
published for half a minute. The modules are loaded. Celery's own ``delay()`` is only
measured with a broker that refuses; it waits for more than 40 s if none answers.
"""

from __future__ import annotations

import logging
import socket
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from .command import command
from .line import Line
from .shop import shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .line import Round

ROUNDS: Final = 5
SMALL: Final[dict[str, object]] = {}

LOOPBACK: Final = "127.0.0.1"
TROUBLES: Final = {
    "refuses": "it refuses",
    "mute": "it does not answer",
    "dropped": "its packets are dropped",
    "sentinels": "two Sentinels, of which one does not answer and one refuses",
}
LINES: Final = (
    *(
        Line(
            name=f"P6 the first order, {words}",
            of=f"{name} first",
            unit="ms",
            goal=300,
        )
        for name, words in TROUBLES.items()
    ),
    *(
        Line(name=f"P6 the next order, {words}", of=f"{name} next", unit="ms", goal=1)
        for name, words in TROUBLES.items()
    ),
    Line(name="P6 Celery's `delay()`, it refuses", of="delay()", unit="ms"),
)


@contextmanager
def subject(*, database: str = "sqlite") -> Iterator[Callable[[], Round]]:
    with shop(database), ExitStack() as stack:
        ports = {name: stack.enter_context(port()) for name, port in PORTS.items()}
        urls = {name: f"redis://{LOOPBACK}:{port}/0" for name, port in ports.items()}
        urls["sentinels"] = ";".join(
            f"sentinel://{LOOPBACK}:{ports[name]}" for name in ("mute", "refuses")
        )

        logging.getLogger("connectly_tracking.wakeup").setLevel(logging.ERROR)

        def measure() -> Round:
            found = dict[str, float]()
            for name in TROUBLES:
                with _broker(urls[name]):
                    found[f"{name} first"] = _wake()
                    found[f"{name} next"] = _wake()
            with _broker(urls["refuses"]):
                found["delay()"] = _delay()
            return found

        measure()
        yield measure


@contextmanager
def _refusing() -> Iterator[int]:
    """A port that is bound, on which nothing listens."""
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        yield bound.getsockname()[1]


@contextmanager
def _mute() -> Iterator[int]:
    """A port that accepts connections, and sends nothing."""
    with socket.create_server((LOOPBACK, 0), backlog=128) as server:
        yield server.getsockname()[1]


@contextmanager
def _dropping() -> Iterator[int]:
    """A port whose queue is full: Linux drops the packets of a new connection."""
    with socket.create_server((LOOPBACK, 0), backlog=0) as server:
        port = server.getsockname()[1]
        with ExitStack() as stack:
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((LOOPBACK, port))
            yield port


PORTS: Final = {"refuses": _refusing, "mute": _mute, "dropped": _dropping}


@contextmanager
def _broker(url: str) -> Iterator[None]:
    """Celery's broker in a process that has not published yet."""
    from connectly_tracking.wakeup import publisher
    from example_project import celery_app

    options = {"master_name": "mymaster"} if "sentinel" in url else {}
    celery_app.conf.update(broker_url=url, broker_transport_options=options)
    publisher.reset()
    try:
        yield
    finally:
        publisher.reset()


def _wake() -> float:
    """Milliseconds that an order waits."""
    from connectly_tracking.wakeup import wake

    began = time.perf_counter()
    wake()
    return 1000 * (time.perf_counter() - began)


def _delay() -> float:
    from kombu.exceptions import OperationalError

    from connectly_tracking.tasks import deliver_due

    began = time.perf_counter()
    try:
        deliver_due.delay()
    except OperationalError:
        return 1000 * (time.perf_counter() - began)
    raise AssertionError("the broker answered")


if __name__ == "__main__":
    command("broker")
