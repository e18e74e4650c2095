"""The wake-up message after an order's commit, published by the task's name.

A page must not wait for a broker: a default ``.delay()`` waits 40 s for one that does
not answer. Here one thread of the process talks to the broker, and an order waits 0.3 s
for it at most, whatever the broker or a name server does. After an error this process
publishes nothing for half a minute. The next poll finds the row in any case.
"""

from __future__ import annotations

import logging
import math
import os
import time
from concurrent.futures import Future
from contextlib import nullcontext
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import django
from celery import current_app
from celery.exceptions import QueueNotFound
from celery.utils import uuid
from django.db import connections
from django.utils.module_loading import import_string

from .conf import conf
from .exceptions import causes

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery
    from kombu import Connection, Producer

    _Job = tuple[Callable[[], None], Future[None]]

DELIVER: Final = "connectly_tracking.deliver_due"
PRUNE: Final = "connectly_tracking.prune"
WATCH: Final = "connectly_tracking.watch"
#: The task for Django's own workers. It is loaded where there are some.
DJANGO_TASK: Final = "connectly_tracking.background.deliver_in_background"
#: Backends that run a task in the page that asks for it, or never.
_NO_WORKERS: Final = (
    "django.tasks.backends.dummy.DummyBackend",
    "django.tasks.backends.immediate.ImmediateBackend",
)
MAX_DELAY: Final = 0.3  # seconds that an order waits for its message
MAX_TOLD: Final = 200  # characters of an error's text
SILENCE: Final = 30.0  # seconds without publishing, after an error
PUBLISH_TIMEOUT: Final = 0.25  # seconds, for a step of talking to one broker
#: Seconds after which a poll has done what the message asks for. A broker that counts
#: them, such as RabbitMQ, deletes it then. A worker is told no time, because it would
#: compare it with its own clock, and run no message if that clock is ahead.
EXPIRES: Final = 300.0

logger = logging.getLogger(__name__)


class _Messenger:
    """A thread that publishes over one connection, which no other thread uses."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._url = ""

    def start(self) -> None:
        """Begin to publish. The interpreter does not wait for the thread at its end."""
        Thread(target=self._run, name="connectly-wakeup", daemon=True).start()

    def stop(self) -> None:
        """Close the connection and end the thread, after what it is doing."""
        self._jobs.put(None)

    def wait_for(self, work: Callable[[], None]) -> None:
        """Have the thread do it. Raises TimeoutError if that takes too long."""
        done: Future[None] = Future()
        self._jobs.put((work, done))
        try:
            done.result(MAX_DELAY)
        except TimeoutError:
            done.cancel()  # unless it is under way
            raise TimeoutError(f"no answer in {MAX_DELAY:g} s") from None

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done = job
            if not done.set_running_or_notify_cancel():
                continue
            try:
                work()
            except BaseException as exc:  # noqa: BLE001 - for the thread that waits
                self._close()
                done.set_exception(exc)
            else:
                done.set_result(None)
        self._close()

    def publish(self, app: Celery) -> None:
        """Publish Celery's message. Only the thread may do this: `wait_for` it."""
        failed = ""
        if self._producer is not None:
            try:
                _send(app, self._producer)
            except Exception as exc:
                # If the broker closed it while it was idle, a new one may work; if the
                # broker does not answer, it will not.
                self._close()
                if _is_timeout(exc):
                    failed = self._url
                    if len(_urls(app)) == 1:
                        raise
            else:
                return
        error: Exception | None = None
        # The broker that answered last comes first.
        for url in sorted(_urls(app), key=lambda url: url != self._url):
            if url == failed:
                continue
            self._connection, self._url = _connection(app, url), url
            try:
                self._producer = _producer(app, self._connection)
                _send(app, self._producer)
            except Exception as exc:  # noqa: BLE001 - the next broker may work
                self._close()
                error = exc
            else:
                return
        if error is not None:
            raise error

    def _close(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception as exc:  # noqa: BLE001 - it is of no use any more
                name = type(exc).__name__
                logger.debug("wakeup_connection_not_closed error=%s", name)


def _told(exc: Exception) -> str:
    """An error without what may have the broker's password in it: an address that could
    not be read, and objects, such as the Sentinels of an older redis-py.
    """
    name = type(exc).__name__
    text = "" if isinstance(exc, ValueError) else str(exc).partition("<")[0]
    return f"{name}: {text[:MAX_TOLD].strip(' :')}" if text else name


class Publisher:
    """Publishes a process's wake-ups, and remembers the last error."""

    def __init__(self) -> None:
        #: By process: a forked child has no threads, and must not share a connection.
        self._messengers: dict[int, _Messenger] = {}
        self._silent_until = 0.0

    def wake(self) -> None:
        """Tell the workers that an event is due. Never raises."""
        try:
            app: Celery = current_app._get_current_object()  # type: ignore[attr-defined]
            if time.monotonic() < self._silent_until:
                return
            if has_broker(app):
                messenger = self._messenger(app)
                messenger.wait_for(partial(messenger.publish, app))
            elif not app.conf.task_always_eager and has_task_backend():
                task = import_string(DJANGO_TASK)
                self._messenger().wait_for(partial(_enqueue, task))
        except Exception as exc:  # noqa: BLE001 - the row is safe; the next poll sends it
            was_silent = time.monotonic() < self._silent_until
            self._silent_until = max(self._silent_until, time.monotonic() + SILENCE)
            if not was_silent:
                error = _told(exc)
                logger.warning("wakeup_failed error=%s silent_for=%ds", error, SILENCE)

    def mute(self) -> None:
        """Publish nothing any more in this process, which delivers by itself."""
        self._silent_until = math.inf

    def reset(self) -> None:
        """Forget the error and the connection, as a new process would."""
        self._silent_until = 0.0
        self.close_connection()

    def close_connection(self) -> None:
        """Close this process's connection, if there is one."""
        if messenger := self._messengers.pop(os.getpid(), None):
            messenger.stop()

    def _messenger(self, app: Celery | None = None) -> _Messenger:
        """Return this process's. ``app``: if it is Celery's message that is sent."""
        pid = os.getpid()
        if pid not in self._messengers:
            if app is not None:
                # Imported here, since that may take longer than an order waits.
                _ = (
                    [_connection(app, url).transport_cls for url in _urls(app)],
                    app.amqp,
                )
            new = _Messenger()
            if self._messengers.setdefault(pid, new) is new:
                try:
                    new.start()
                except BaseException:  # no more threads: the next one may start
                    del self._messengers[pid]
                    raise
        return self._messengers[pid]


publisher: Final = Publisher()
wake: Final = publisher.wake


def queue_of(app: Any, queue: str | None) -> str | None:
    """Return the queue that our tasks reach, or None if an exchange decides."""
    try:
        route = app.amqp.router.route({"queue": queue}, DELIVER)
    except QueueNotFound:
        return str(queue or app.conf.task_default_queue)
    return getattr(route.get("queue"), "name", None)


def has_broker(app: Any) -> bool:
    """Whether the project names a broker. In eager mode there is no worker to wake."""
    named = app.conf.broker_url or app.conf.broker_write_url
    return bool(named) and not app.conf.task_always_eager


def has_task_backend() -> bool:
    """Whether Django's own tasks (Django 6.0) have workers that are other processes.

    Raises InvalidTaskBackend for a backend that cannot be loaded.
    """
    if django.VERSION < (6, 0):
        return False
    backend = import_string("django.tasks.task_backends")["default"]
    return not isinstance(backend, tuple(map(import_string, _NO_WORKERS)))


def connection_of(app: Any, timeout: float, url: str | None = None) -> Connection:
    """Return a connection to the broker; ``timeout``: seconds for each step."""
    # Over the project's own options, under the names that Redis and AMQP read.
    of_socket = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    given = app.conf.broker_transport_options
    options = {
        **given,
        **of_socket,
        "max_retries": 0,
        "retry_on_timeout": False,
        "read_timeout": timeout,
        "write_timeout": timeout,
        # A Sentinel that does not answer is tried 10 times otherwise.
        "sentinel_kwargs": {
            **(given.get("sentinel_kwargs") or {}),
            **of_socket,
            "retry": None,
        },
    }
    connection: Connection = app.connection_for_write(
        url, connect_timeout=timeout, heartbeat=0, transport_options=options
    )
    return connection


def _urls(app: Any) -> list[str]:
    """Return the URL of each broker of a list. All Sentinels are one broker."""
    named = app.conf.broker_write_url or app.conf.broker_url
    urls = named.split(";") if isinstance(named, str) else [*named]
    return [";".join(urls)] if urls[0].startswith("sentinel") else urls


def _connection(app: Any, url: str) -> Connection:
    """Return a connection whose steps share the time: each broker gets its part."""
    shares = len(_urls(app))
    if ";" in url:  # a step for the Redis that Sentinels name, two for each of them
        shares = 2 * (url.count(";") + 1) + 1
    return connection_of(app, PUBLISH_TIMEOUT / shares, url)


def _producer(app: Celery, connection: Connection) -> Producer:
    """Return a producer that keeps its client of Redis.

    kombu makes one for each message, and that takes longer than sending it.
    """
    producer: Producer = app.amqp.Producer(connection, auto_declare=False)
    channel: Any = producer.channel
    if hasattr(channel, "conn_or_acquire"):
        with channel.conn_or_acquire() as kept:
            channel.conn_or_acquire = lambda client=None: nullcontext(client or kept)
    return producer


def _send(app: Celery, producer: Producer) -> None:
    """Publish what `Celery.send_task` would, without what only other messages need.

    Routes and signals are as for any task; an app's own ``send_task`` is not called.
    """
    amqp: Any = app.amqp
    message = amqp.create_task_message(
        uuid(), DELIVER, argsrepr="()", kwargsrepr="{}", ignore_result=True
    )
    route = amqp.router.route({"queue": conf.QUEUE, "expiration": EXPIRES}, DELIVER)
    amqp.send_task_message(producer, DELIVER, message, retry=False, **route)


def _enqueue(task: Any) -> None:
    try:
        task.enqueue()
    finally:
        connections.close_all()  # a backend may have opened one for this thread


def _is_timeout(exc: Exception) -> bool:
    return any(
        isinstance(cause, TimeoutError) or "timeout" in type(cause).__name__.lower()
        for cause in causes(exc)
    )
