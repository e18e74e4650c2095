"""A key that every answer echoes is found nowhere: not in a row, a log, or a page."""

from __future__ import annotations

import base64
import html
import io
import json
import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from connectly_tracking import outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.doctor import as_json, examine
from connectly_tracking.models import Circuit, Conversion, DeliveryAttempt
from connectly_tracking.reports import explain

from .admin.pages import pages
from .client.server import Server, answer
from .conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client
    from redis import Redis

KEY: Final = "sentinel/KEY+0f9e8d7c&6b5a4321=Qq"
ECHOES: Final = [
    KEY,
    KEY.lower(),
    KEY.replace("/", "\\/"),
    json.dumps(KEY).replace("&", "\\u0026"),
    "".join(f"\\u{ord(sign):04x}" for sign in KEY),
    html.escape(KEY).replace("/", "&#x2F;"),
    quote(KEY, safe=""),
    quote(quote(KEY, safe=""), safe=""),
    base64.b64encode(f"user:{KEY}".encode()).decode(),
    base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
    "\u200b".join(KEY),
    "\xad\n".join(KEY),
    KEY.encode().hex(),
]
STATUSES: Final = [200, 202, 302, 400, 401, 404, 407, 408, 413, 418, 429, 500, 503]


def raw_answers() -> Iterator[bytes]:
    """Those that are no HTTP, or echo the key beside the body."""
    key = KEY.encode()
    yield b"SSH-2.0-" + key + b"\r\n\r\n"
    yield b"HTTP/1.1 " + key + b"\r\n\r\n"
    yield b"HTTP/1.1 500 " + key + b"\r\nContent-Length: 0\r\n\r\n"
    yield b"HTTP/1.1 429 No\r\nRetry-After: " + key + b"\r\nContent-Length: 0\r\n\r\n"
    yield (
        b"HTTP/1.1 302 No\r\nLocation: https://"
        + key
        + b"/\r\nContent-Length: 0\r\n\r\n"
    )
    yield (
        b"HTTP/1.1 400 No\r\nContent-Encoding: "
        + key
        + b"\r\nContent-Length: 1\r\n\r\n\xff"
    )
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + key
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + key + b"\r\n"
    yield (
        b"HTTP/1.1 400 No\r\nDate: " + key + b"\r\nX-Trace: " + key + b"\r\n\r\n" + key
    )


def assert_absent(text: str, where: str) -> None:
    """Neither the key nor a spelling of it, whatever quotes it again."""
    plain = text.replace("\\\\", "\\").replace("\u200b", "").replace("\xad", "")
    plain = plain.replace("\n", "").replace("\\n", "").lower()
    for echo in [*ECHOES, KEY[:16]]:
        assert echo.lower() not in text.lower(), where
        assert echo.lower().replace("\n", "") not in plain, where
    assert html.escape(KEY).lower() not in plain, where


def database_dump() -> str:
    """Every value of every column of every table."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found += [repr(row) for row in cursor.fetchall()]
    assert any("ORD-" in row for row in found)
    return "\n".join(found)


@pytest.fixture
def echoing(configure: Any) -> Iterator[Server]:
    with Server(answer(), keep=False) as server:
        configure(API_KEY=KEY, BASE_URL=server.url, READ_TIMEOUT=0.5, DEADLINE=2)
        yield server


def drive(server: Server, said: bytes, order_id: str) -> None:
    """Report an order, get that answer, and end the pause that may follow."""
    server.answers = [said]
    outbox.record(make_purchase(order_id), attribution=make_click())
    deliver()
    Circuit.objects.update(paused_until=None, failures=0, refusals=0)
    Conversion.objects.exclude(due_at=None).update(due_at=None, state="skipped")


@pytest.mark.django_db(transaction=True)
def test_a_key_that_every_answer_echoes_is_kept_and_shown_nowhere(
    echoing: Server,
    celery_broker: Redis,
    admin_client: Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    said = [
        answer(f"the key {echo}, is unknown".encode(), status=status)
        for number, echo in enumerate(ECHOES)
        for status in STATUSES[number % 4 :: 4]
    ]
    said += [answer(b"." * (64 * 1024 - size) + KEY.encode()) for size in (9, 20, 32)]
    for number, text in enumerate([*said, *raw_answers()]):
        drive(echoing, text, f"ORD-{number}")
    attempts = DeliveryAttempt.objects.all()
    assert attempts.count() >= len(said)
    assert attempts.filter(detail__contains="***").count() > 30

    assert_absent(database_dump(), "database")
    assert_absent(caplog.text + repr([it.__dict__ for it in caplog.records]), "log")
    assert KEY in echoing.asked[0].decode()  # it was sent, and only there
    messages = celery_broker.keys("*")
    assert messages
    for name in messages:
        dumped = celery_broker.dump(name) or b""
        assert_absent(dumped.decode("latin-1"), "broker")

    for name, (_, url) in pages().items():
        shown: Any = admin_client.get(url)
        assert_absent(shown.getvalue().decode(), name)
    for row in Conversion.objects.all():
        url = f"/admin/connectly_tracking/conversion/{row.pk}/change/"
        assert_absent(admin_client.get(url).content.decode(), url)
        assert_absent(explain(row.order_id), "explanation")
    assert_absent(as_json(examine(None)[0]), "doctor")
    assert_absent(commands(), "commands")


def commands() -> str:
    """What each command says that sends something, on either stream."""
    out = io.StringIO()
    for arguments in (
        ["connectly_doctor", "--probe", "--yes"],
        ["connectly_doctor", "--probe", "--yes", "--json"],
        ["connectly_deliver"],
        ["connectly_replay", "--state=rejected", "--dry-run"],
    ):
        try:
            call_command(*arguments, stdout=out, stderr=out)
        except (CommandError, SystemExit) as exc:
            out.write(str(exc))
    return out.getvalue()
