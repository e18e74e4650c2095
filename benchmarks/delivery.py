"""How fast a worker delivers, beside the same worker with one task for each row."""

from __future__ import annotations

import threading
import time
from statistics import median
from typing import TYPE_CHECKING, Final

from .bench import PROCESSES, bench

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectly_tracking.sandbox import Sandbox

THREADS: Final = 16
TIMEOUT: Final = 300.0  # seconds


def measure(*, rows: int, rounds: int, latency: float) -> dict[str, object]:
    """Both ways in turn: the medians, and the ratio of each pair."""
    with bench(latency) as sandbox:
        _round(sandbox, PROCESSES * THREADS * 8, _ours)  # every thread has connected
        ours, peers = [], []
        for _ in range(rounds):
            ours.append(_round(sandbox, rows, _ours))
            peers.append(_round(sandbox, rows, _one_task_per_row))
        ideal = PROCESSES * THREADS / latency if latency else None
        ratios = [ours_ / peer for ours_, peer in zip(ours, peers, strict=True)]
        return {
            "rows": rows,
            "rounds": rounds,
            "latency_ms": latency * 1000,
            "events_per_second": round(median(ours), 1),
            "one_task_per_row_per_second": round(median(peers), 1),
            "times_as_fast": round(median(ratios), 1),
            "slowest_round_times_as_fast": round(min(ratios), 1),
            "percent_of_ideal": round(100 * median(ours) / ideal) if ideal else None,
        }


def _round(sandbox: Sandbox, rows: int, publish: Callable[[], None]) -> float:
    """Events per second, from the first message to the last row's final state."""
    from connectly_tracking.models import Conversion, State

    Conversion.objects.all().delete()
    sandbox.clear()
    _record(rows)
    before = sandbox.event_count
    began = time.perf_counter()
    publish()
    sandbox.wait_for(lambda s: s.event_count - before >= rows, timeout=TIMEOUT)
    settled = threading.Event()  # never set: its wait is a pause between two checks
    while Conversion.objects.exclude(state=State.DELIVERED).exists():
        settled.wait(0.005)
    took = time.perf_counter() - began
    assert sandbox.event_count - before == rows, "an event was sent twice"
    return rows / took


def _record(rows: int) -> None:
    from django.utils import timezone

    from connectly_tracking.api.body import encode
    from connectly_tracking.models import Conversion, DbNow, EventName, State, key_of

    now = timezone.now()
    Conversion.objects.bulk_create(
        Conversion(
            event_name=EventName.PURCHASE,
            key=key_of(f"ORD-{number}"),
            order_id=f"ORD-{number}",
            state=State.PENDING,
            recorded_at=now,
            due_at=DbNow(),
            body=encode(_event(f"ORD-{number}")),
        )
        for number in range(rows)
    )


def _event(order_id: str) -> dict[str, object]:
    return {
        "cnct_tracking_id": "b1f6f3f0-track",
        "event_name": "Purchase",
        "sendout_id": "0f1e2d3c-sendout",
        "attribution": {"meta_ctwa": {"ctwa_clid": "ARAclick", "ad_id": "120210"}},
        "payload": {
            "currency": "USD",
            "value": 99,
            "order_id": order_id,
            "content_type": "product",
            "content_ids": ["sku-1"],
            "num_items": 1,
            "contents": [{"id": "sku-1", "quantity": 1, "item_price": 99}],
            "event_time": int(time.time()),
        },
    }


def _ours() -> None:
    from connectly_tracking.wakeup import wake

    wake()


def _one_task_per_row() -> None:
    from connectly_tracking.models import Conversion

    from .tasks import send_one

    for pk in Conversion.objects.values_list("pk", flat=True):
        send_one.delay(pk)


def table(result: dict[str, object]) -> str:
    """The result as text."""
    width = max(map(len, result))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in result.items())
