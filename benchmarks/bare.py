"""The limit: threads that post events, each with a requests.Session, and do no more.

``python -m benchmarks.bare URL THREADS FIRST LAST`` says when it is ready, sends the
orders of those numbers once it reads a line, and prints the CPU seconds it took.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from .rows import body_of

HEADERS = {"Content-Type": "application/json", "X-API-KEY": "key-for-benchmarks-only"}


def main(url: str, threads: int, first: int, last: int) -> None:
    bodies = [
        json.dumps(body_of(f"ORD-{number}")).encode() for number in range(first, last)
    ]
    shares = [bodies[start::threads] for start in range(threads)]
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda share: send(url, share), shares))
    print(time.process_time() - began, flush=True)


def send(url: str, bodies: list[bytes]) -> None:
    with requests.Session() as session:
        for body in bodies:
            answer = session.post(url, data=body, headers=HEADERS, timeout=20)
            assert answer.json()["events_received"] == 1


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
