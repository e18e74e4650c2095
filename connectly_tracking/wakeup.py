"""The wake-up message after an order's commit, published by the task's name.

A page must not wait for a broker: a default ``.delay()`` waits 40 s for one that does
not answer. Here each step takes a quarter of a second at most, and after an error this
process publishes nothing for half a minute. The next poll finds the row in any case.
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
from .exceptions import causes

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

TASK: Final = "connectly_tracking.deliver_due"
PRUNE: Final = "connectly_tracking.prune"
WATCH: Final = "connectly_tracking.watch"
SILENCE: Final = 30.0  # seconds without publishing, after an error
PUBLISH_TIMEOUT: Final = 0.25  # seconds, for each step of talking to the broker
EXPIRES: Final = 300.0  # seconds after which a poll has done what the message asks for

logger = logging.getLogger(__name__)


class _Kept(threading.local):
    """This thread's connection. A forked child must open its own."""

    app: Celery | None = None
    connection: Connection | None = None
    pid = 0


class Publisher:
    """Publishes wake-ups, and remembers a connection per thread and the last error."""

    def __init__(self) -> None:
        self._kept = _Kept()
        self._silent_until = 0.0

    def wake(self) -> None:
        """Tell the workers that an event is due. Never raises."""
        try:
            app: Celery = current_app._get_current_object()  # type: ignore[attr-defined]
            if time.monotonic() >= self._silent_until and has_broker(app):
                self._publish(app)
        except Exception as exc:  # noqa: BLE001 - the row is safe; the next poll sends it
            self._silent_until = time.monotonic() + SILENCE
            self.close_connection()
            logger.warning("wakeup_failed error=%s silent_for=%ds", exc, SILENCE)

    def mute(self) -> None:
        """Publish nothing any more in this process, which delivers by itself."""
        self._silent_until = math.inf

    def reset(self) -> None:
        """Forget the error and the connection, as a new process would."""
        self._silent_until = 0.0
        self.close_connection()

    def close_connection(self) -> None:
        """Close this thread's connection, if there is one."""
        connection, self._kept.connection = self._kept.connection, None
        if connection is not None and self._kept.pid == os.getpid():
            try:
                connection.release()
            except Exception as exc:  # noqa: BLE001 - it is of no use any more
                logger.debug("wakeup_connection_not_closed error=%s", exc)

    def _publish(self, app: Celery) -> None:
        kept = self._kept
        if kept.connection and kept.app is app and kept.pid == os.getpid():
            try:
                _send(app, kept.connection)
            except Exception as exc:
                # If the broker closed it while it was idle, a new one may work; if the
                # broker does not answer, it will not.
                if _is_timeout(exc):
                    raise
                self.close_connection()
            else:
                return
        kept.connection = connection_of(app, PUBLISH_TIMEOUT)
        kept.app, kept.pid = app, os.getpid()
        _send(app, kept.connection)


publisher: Final = Publisher()
wake: Final = publisher.wake


def queue_of(app: Any, queue: str | None) -> str | None:
    """Return the queue that our tasks reach, or None if an exchange decides."""
    try:
        route = app.amqp.router.route({"queue": queue}, TASK)
    except QueueNotFound:
        return str(queue or app.conf.task_default_queue)
    return getattr(route.get("queue"), "name", None)


def has_broker(app: Any) -> bool:
    """Whether the project names a broker. In eager mode there is no worker to wake."""
    named = app.conf.broker_url or app.conf.broker_write_url
    return bool(named) and not app.conf.task_always_eager


def connection_of(app: Any, timeout: float) -> Connection:
    """Return a connection to the broker; ``timeout``: seconds for each step."""
    # Over the project's own options, under the names that Redis and AMQP read.
    options = {
        **app.conf.broker_transport_options,
        "max_retries": 0,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry_on_timeout": False,
        "read_timeout": timeout,
        "write_timeout": timeout,
    }
    connection: Connection = app.connection_for_write(
        connect_timeout=timeout, heartbeat=0, transport_options=options
    )
    return connection


def _send(app: Celery, connection: Connection) -> None:
    app.send_task(
        TASK,
        connection=connection,
        queue=conf.QUEUE,
        expires=EXPIRES,
        retry=False,
        ignore_result=True,
        add_to_parent=False,
    )


def _is_timeout(exc: Exception) -> bool:
    return any(
        isinstance(cause, TimeoutError) or "timeout" in type(cause).__name__.lower()
        for cause in causes(exc)
    )
