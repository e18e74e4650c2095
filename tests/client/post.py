"""A POST as the worker makes it, and how long it took."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from connectly_tracking.api.client import Client
from connectly_tracking.api.secret import Secret
from connectly_tracking.api.verdicts import Outcome, Verdict

from .server import Server

BUSINESS = "5f0c6f0e-2f3c-4b5e-9a53-0d5b1c9f8a11"
KEY = "cnct-key-0f9e8d7c"
PATH = f"/external/v1/businesses/{BUSINESS}/conversion_events"
BODY = json.dumps(
    {
        "cnct_tracking_id": "t",
        "event_name": "Purchase",
        "sendout_id": "s",
        "attribution": {"meta_ctwa": {"ctwa_clid": "c", "ad_id": "a"}},
        "payload": {"currency": "USD", "value": 99.97, "order_id": "ORD-7821"},
    }
)
DELIVERED = Verdict(outcome=Outcome.CONFIRMED, status_code=200)
ROOT = Path(__file__).parents[2]


def client_of(server, **options: Any) -> Client:
    url = server if isinstance(server, str) else server.url
    usual: dict[str, Any] = {"key": Secret(KEY), "read_timeout": 5, "deadline": 10}
    return Client(base_url=url, business_id=BUSINESS, **usual | options)


def post(server, body=BODY, **options):
    return client_of(server, **options).post(body)


def post_to(*answers, keep=False, **options):
    with Server(*answers, keep=keep) as server:
        return post(server, **options)


@contextlib.contextmanager
def took(*, at_least=0.0, at_most):
    begun = time.monotonic()
    yield
    assert at_least <= time.monotonic() - begun < at_most
