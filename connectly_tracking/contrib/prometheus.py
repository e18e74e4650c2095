"""Metrics for Prometheus: `reports.health()` by business, read at each scrape.

Needs the extra ``prometheus``. docs/operator/metrics.md lists the metrics, with rules
for alerts.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from django.db import connections, router
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ..conf import conf
from ..guard import savepoint
from ..models import Circuit, Conversion
from ..reports.delivery import LATELY, Backlog, backlogs, given_up
from ..reports.health import (
    current_findings,
    newest,
    seconds_since,
    seconds_until,
    settings_problem,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Sample = tuple[tuple[str, ...], float]

UP: Final = "connectly_up"

logger = logging.getLogger(__name__)


class Metric(NamedTuple):
    help: str
    labels: tuple[str, ...] = ()

    def family(self, name: str, samples: Iterable[Sample] = ()) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, self.help, labels=self.labels)
        for labels, value in samples:
            family.add_metric(labels, value)
        return family


_BUSINESS: Final = ("business",)
_ENDED: Final = ("business", "reason")
METRICS: Final = {
    UP: Metric("Whether the database answered. If not, there is no other metric."),
    "connectly_ok": Metric("Whether there is no warning and no error."),
    "connectly_finding": Metric(
        "1 for each warning and error of the doctor.", ("code", "level", "business")
    ),
    "connectly_paused": Metric("Whether sending is paused.", _BUSINESS),
    "connectly_orders_waiting": Metric("Orders that are not final.", _BUSINESS),
    "connectly_orders_due": Metric("Orders that could be sent now.", _BUSINESS),
    "connectly_oldest_due_seconds": Metric(
        "For how long the oldest of these could have been sent; 0 without any.",
        _BUSINESS,
    ),
    "connectly_seconds_to_expiry": Metric(
        "Until the oldest waiting order is too old; missing without any.", _BUSINESS
    ),
    "connectly_orders_rejected_24h": Metric(
        "Orders that were rejected in the last 24 hours.", _ENDED
    ),
    "connectly_orders_expired_24h": Metric(
        "Orders that became too old in the last 24 hours.", _ENDED
    ),
    "connectly_last_click_timestamp_seconds": Metric("Time of the newest click."),
    "connectly_last_order_timestamp_seconds": Metric("Time of the newest order."),
    "connectly_last_delivered_timestamp_seconds": Metric("Time of the last delivery."),
}


class ConnectlyCollector(Collector):
    """Register it once: ``REGISTRY.register(ConnectlyCollector())``.

    It asks only the database, and an error there is `connectly_up` 0, never an error of
    the scrape.
    """

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Return the names, so that registering asks no database."""
        return (metric.family(name) for name, metric in METRICS.items())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if not _is_async():
            return self._collect()
        # Prometheus's ASGI app asks in its event loop, where Django allows no query.
        with ThreadPoolExecutor(1) as thread:
            return iter(thread.submit(lambda: [*self._collect()]).result())

    def _collect(self) -> Iterator[GaugeMetricFamily]:
        found: dict[str, list[Sample]] = {}
        try:
            with _connection(), savepoint():
                for name, labels, value in _samples():
                    found.setdefault(name, []).append((labels, value))
        except Exception as exc:  # noqa: BLE001 - other collectors have metrics, too
            logger.warning("metrics_not_collected error=%s", type(exc).__name__)
            found = {UP: [((), 0)]}
        for name, samples in found.items():
            yield METRICS[name].family(name, samples)


def _is_async() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def _connection() -> Iterator[None]:
    """Close the connection if it was opened here: no request may end in this thread."""
    connection = connections[router.db_for_write(Conversion)]
    was_open = connection.connection is not None
    try:
        yield
    finally:
        if not was_open:
            connection.close()


def _samples() -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Yield a metric's name, the values of its labels, and its value."""
    using = router.db_for_write(Conversion)
    problems = [it for it in current_findings() if it.is_problem]
    yield UP, (), 1
    yield "connectly_ok", (), not problems
    for labels in dict.fromkeys((it.code, it.level, it.business) for it in problems):
        yield "connectly_finding", labels, 1
    waiting = backlogs(using)
    paused = set(Circuit.objects.using(using).paused().values_list("pk", flat=True))
    known = [] if settings_problem() else conf.BUSINESSES
    for alias in dict.fromkeys([*known, *sorted({*waiting, *paused})]):
        backlog = waiting.get(alias, Backlog())
        since = seconds_since(backlog.due_since)
        yield "connectly_paused", (alias,), alias in paused
        yield "connectly_orders_waiting", (alias,), backlog.waiting
        yield "connectly_orders_due", (alias,), backlog.due
        yield "connectly_oldest_due_seconds", (alias,), since or 0
        if (left := seconds_until(backlog.expires_at)) is not None:
            yield "connectly_seconds_to_expiry", (alias,), left
    for state, by_business in given_up(using, LATELY).items():
        for alias, reasons in by_business.items():
            for reason, count in reasons.items():
                yield f"connectly_orders_{state}_24h", (alias, reason), count
    for name, at in newest().items():
        if at is not None:
            metric = f"connectly_{name.removesuffix('_at')}_timestamp_seconds"
            yield metric, (), at.timestamp()
