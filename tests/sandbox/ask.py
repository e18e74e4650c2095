"""The documented example and what is wrong with others, and how they are posted."""

from __future__ import annotations

import contextlib
import copy
import json
import socket
import threading
from pathlib import Path
from typing import Any

import requests

BUSINESS = "5f0c6f0e-2f3c-4b5e-9a53-0d5b1c9f8a11"
KEY = "cnct-sandbox-key-0f9e8d"
PATH = f"/external/v1/businesses/{BUSINESS}/conversion_events"
CONFIRMED = b'{"events_received": 1}'
HEADERS = {"Content-Type": "application/json", "X-API-KEY": KEY}
PURCHASE: dict[str, Any] = {
    "cnct_tracking_id": "<value from URL>",
    "event_name": "Purchase",
    "sendout_id": "<value from URL>",
    "attribution": {
        "meta_ctwa": {"ctwa_clid": "<value from URL>", "ad_id": "<value from URL>"}
    },
    "payload": {
        "currency": "USD",
        "value": 99.97,
        "order_id": "ORD-7821",
        "content_type": "product",
        "content_ids": ["sku-1", "sku-2"],
        "num_items": 2,
        "contents": [
            {"id": "sku-1", "quantity": 1, "item_price": 49.99},
            {"id": "sku-2", "quantity": 1, "item_price": 49.98},
        ],
        "event_time": 1746480000,
    },
}
ABSENT = object()
ROOT = Path(__file__).parents[2]


def changed(**changes):
    """The documented example, with ``a__b__0=…`` set at that place, or ABSENT."""
    document = copy.deepcopy(PURCHASE)
    for place, value in changes.items():
        *path, last = [int(p) if p.isdigit() else p for p in place.split("__")]
        target: Any = document
        for part in path:
            target = target[part]
        if value is ABSENT:
            del target[last]
        else:
            target[last] = value
    return document


def order(order_id):
    return changed(payload__order_id=order_id)


def post(sandbox, document=PURCHASE, *, headers=HEADERS, path=PATH, **options):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    options = {"allow_redirects": False, **options}
    url = sandbox.url + path
    return requests.post(url, data=body, headers=headers, timeout=10, **options)


def message(answer):
    return answer.json()["message"]


@contextlib.contextmanager
def dialled(sandbox):
    host, port = sandbox.url.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        yield sock


def raw(document=PURCHASE, *, headers=HEADERS, method="POST", path=PATH):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def everything(sock):
    return b"".join(iter(lambda: sock.recv(65536), b""))


def talks(sandbox):
    """The threads that serve a connection of this sandbox, and its own."""
    name = f"sandbox-{sandbox.url.rsplit(':', 1)[1]}"
    return [thread for thread in threading.enumerate() if thread.name == name]
