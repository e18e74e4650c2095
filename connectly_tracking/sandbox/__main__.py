"""The sandbox in a terminal: ``python -m connectly_tracking.sandbox --help``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

from .server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence


MAX_PORT: Final = 65535


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m connectly_tracking.sandbox",
        description="A fake Connectly; its page shows the events as they arrive.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument(
        "--business-id",
        default=os.environ.get("CONNECTLY_BUSINESS_ID"),
        help="default: $CONNECTLY_BUSINESS_ID",
    )
    parser.add_argument(
        "--api-key",
        default=os.environ.get("CONNECTLY_API_KEY"),
        help="default: $CONNECTLY_API_KEY, which does not show in a list of processes",
    )
    parser.add_argument("--log", metavar="FILE", help="one JSON line per request")
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--meta-max-age", type=float, metavar="SECONDS")
    parser.add_argument("--keep", type=int, default=10_000, metavar="REQUESTS")
    parser.add_argument(
        "--behave", action="append", default=[], metavar="BEHAVIOUR", help="repeatable"
    )
    options = vars(parser.parse_args(argv))
    behaviours = options.pop("behave")
    if not options["business_id"] or not options["api_key"]:
        parser.error("--business-id and --api-key are required")
    if not (options["host"].isascii() and options["host"].isprintable()):
        parser.error("--host must be a name or an address")
    if not 0 <= options["port"] <= MAX_PORT:
        parser.error(f"--port must be from 0 to {MAX_PORT}")
    if not 0 <= options["delay"] <= threading.TIMEOUT_MAX:
        parser.error("--delay must be 0 or greater")
    try:
        sandbox = Sandbox(**options)
        if behaviours:
            sandbox.behave(behaviours)
        sandbox.start()
    except (ValueError, OSError) as exc:
        parser.error(str(exc))
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    sys.stdout.write(
        f"BASE_URL is {sandbox.url}\nIts page is at {sandbox.url}/. Ctrl-C stops it.\n"
    )
    sys.stdout.flush()
    stopped.wait()
    sandbox.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
