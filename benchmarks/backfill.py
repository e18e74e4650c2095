"""A backfill that is stopped and continued: ``python -m benchmarks.backfill --help``.

The command records a file of orders, each with its own click, in another process, which
gets a SIGTERM half way and is run again. Ends with status 1 unless each order has one
row and the memory stays flat. Needs a system with /proc.
"""

from __future__ import annotations

import argparse
import csv
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from .database import NAMES, database

ROOT: Final = Path(__file__).resolve().parent.parent
STOPPED: Final = 128 + signal.SIGTERM
GROWTH: Final = 8.0  # MiB between the first mark and the last
PLACED_AT: Final = int(time.time()) - 86400


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.backfill", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--database", choices=NAMES, default="sqlite")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="connectly-bench-") as name,
        database(Path(name), options.database),
    ):
        return _measure(Path(name, "orders.csv"), options.rows)


def _measure(file: Path, rows: int) -> int:
    _write(file, rows)
    print(f"{rows} orders, {file.stat().st_size / 2**20:.1f} MiB")
    marks = [min(1_000, rows), rows // 2, rows - 1]
    seen = dict[int, float]()
    stopped, first = _run(file, marks[:2], seen, until=rows // 2)
    done, second = _run(file, marks[2:], seen)
    for mark, mebibytes in seen.items():
        print(f"{mark:>8} orders: {mebibytes:.1f} MiB")
    print(f"to the SIGTERM {first:.1f} s, resumed {second:.1f} s: ", end="")
    print(f"{rows / (first + second):.0f} orders/s")
    is_flat = max(seen.values()) - min(seen.values()) < GROWTH
    is_once = _is_once(rows)
    print(f"flat memory: {is_flat}, nothing lost and nothing twice: {is_once}")
    return 0 if (stopped, done) == (STOPPED, 0) and is_flat and is_once else 1


def _write(file: Path, rows: int) -> None:
    names = ("order_id", "value", "currency", "event_time", "contents")
    click = ("cnct_tracking_id", "sendout_id", "ctwa_clid", "ad_id", "landed_at")
    contents = '[{"id": "sku-1", "quantity": 1, "item_price": 49.99}]'
    with file.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow([*names, *click])
        for number in range(rows):
            order = [f"ORD-{number}", "49.99", "USD", PLACED_AT, contents]
            ids = [f"track-{number}", "send-1", f"clid-{number}", "120210"]
            table.writerow([*order, *ids, PLACED_AT - 60])


def _run(
    file: Path, marks: list[int], seen: dict[int, float], until: int | None = None
) -> tuple[int, float]:
    """The command's status and seconds; SIGTERM once there are so many rows."""
    command = [sys.executable, "manage.py", "connectly_backfill", "--csv", str(file)]
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            while process.poll() is None:
                count = _count()
                for mark in marks:
                    if count >= mark and mark not in seen:
                        seen[mark] = _resident(process.pid)
                if until is not None and count >= until:
                    process.send_signal(signal.SIGTERM)
                    until = None
                time.sleep(0.02)
        finally:
            if process.poll() is None:
                process.kill()
    took = time.perf_counter() - began
    return process.returncode, took


def _count() -> int:
    """The newest row's number, which costs less than a count."""
    from django.db.models import Max

    from connectly_tracking.models import Conversion

    return Conversion.objects.aggregate(newest=Max("pk"))["newest"] or 0


def _resident(pid: int) -> float:
    """MiB; 0 if the process has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(found[0].split()[1]) / 1024 if found else 0


def _is_once(rows: int) -> bool:
    from connectly_tracking.models import Attribution, Conversion, State

    ids = Conversion.objects.filter(state=State.PENDING).values("order_id")
    counts = (ids.count(), ids.distinct().count(), Attribution.objects.count())
    print(f"rows {counts[0]}, orders {counts[1]}, clicks {counts[2]}")
    return set(counts) == {rows}


if __name__ == "__main__":
    sys.exit(main())
