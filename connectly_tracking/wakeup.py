"""The nudge after an order's commit: published by the task's name, bounded, may fail.

A page must not wait for a broker: a default ``.delay()`` waits 40 s for one that does
not answer. Here a publish costs a quarter of a second at most, and once it has failed
this process stays silent for half a minute; whoever polls finds the row all the same.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from celery import current_app
from celery.exceptions import QueueNotFound

from .conf import conf

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

TASK: Final = "connectly_tracking.deliver_due"
PRUNE: Final = "connectly_tracking.prune"
SILENCE: Final = 30.0  # seconds
PATIENCE: Final = 0.25  # seconds, for each step of talking to the broker
#: A nudge that waited longer than this has been overtaken by a poll.
EXPIRES: Final = 300.0  # seconds

logger = logging.getLogger(__name__)


class _Line(threading.local):
    """This thread's connection, kept between nudges; a forked child opens its own."""

    app: Celery | None = None
    connection: Connection | None = None
    pid = 0


_line = _Line()
_silent_until = 0.0


def wake() -> None:
    """Tell the workers that something is due. Never raises."""
    global _silent_until
    try:
        app: Celery = current_app._get_current_object()  # type: ignore[attr-defined]
        if time.monotonic() >= _silent_until and has_broker(app):
            _publish(app)
    except Exception as exc:  # noqa: BLE001 - the order stands; the next poll sends it
        _silent_until = time.monotonic() + SILENCE
        hang_up()
        logger.warning("wakeup_failed error=%s silent_for=%ds", exc, SILENCE)


def hang_up() -> None:
    """Close this thread's connection, if there is one."""
    connection, _line.connection = _line.connection, None
    if connection is not None and _line.pid == os.getpid():
        try:
            connection.release()
        except Exception as exc:  # noqa: BLE001 - it was given up anyway
            logger.debug("wakeup_hang_up_failed error=%s", exc)


def mute() -> None:
    """Publish nothing in this process: whoever asks for it delivers by himself."""
    global _silent_until
    _silent_until = math.inf


def start_afresh() -> None:
    """Forget the silence and the connection, as a new process would."""
    global _silent_until
    _silent_until = 0.0
    hang_up()


def queue_of(app: Any, queue: str | None) -> str | None:
    """Where our tasks go if that queue is asked for; None where an exchange decides."""
    try:
        route = app.amqp.router.route({"queue": queue}, TASK)
    except QueueNotFound:
        return str(queue or app.conf.task_default_queue)
    return getattr(route.get("queue"), "name", None)


def has_broker(app: Any) -> bool:
    """Whether the project named one; in eager mode there is no worker to wake."""
    named = app.conf.broker_url or app.conf.broker_write_url
    return bool(named) and not app.conf.task_always_eager


def connection_of(app: Any, patience: float) -> Connection:
    """To its broker, with so many seconds for each step of talking to it."""
    # Over the project's own options, under whose names Redis and AMQP find them.
    options = {
        **app.conf.broker_transport_options,
        "max_retries": 0,
        "socket_timeout": patience,
        "socket_connect_timeout": patience,
        "retry_on_timeout": False,
        "read_timeout": patience,
        "write_timeout": patience,
    }
    connection: Connection = app.connection_for_write(
        connect_timeout=patience, heartbeat=0, transport_options=options
    )
    return connection


def _publish(app: Any) -> None:
    connection, kept = _connection(app)
    try:
        _send(app, connection)
    except Exception as exc:
        # One that the broker closed while it was idle deserves a fresh try; one that
        # does not answer does not.
        if not kept or _is_timeout(exc):
            raise
        hang_up()
        _send(app, _connection(app)[0])


def _send(app: Any, connection: Connection) -> None:
    app.send_task(
        TASK,
        connection=connection,
        queue=conf.QUEUE,
        expires=EXPIRES,
        retry=False,
        ignore_result=True,
        add_to_parent=False,
    )


def _connection(app: Any) -> tuple[Connection, bool]:
    kept = _line.connection
    if kept is not None and _line.app is app and _line.pid == os.getpid():
        return kept, True
    connection = connection_of(app, PATIENCE)
    _line.app, _line.connection, _line.pid = app, connection, os.getpid()
    return connection, False


def _is_timeout(exc: BaseException | None) -> bool:
    while exc is not None:
        if isinstance(exc, TimeoutError) or "timeout" in type(exc).__name__.lower():
            return True
        exc = exc.__cause__ or exc.__context__
    return False
