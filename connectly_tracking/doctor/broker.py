"""Whether Celery's broker answers, and whether our queue is read."""

from __future__ import annotations

import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from celery import current_app
from kombu.exceptions import ChannelError

from ..conf import conf
from ..wakeup import connection_of, has_broker, queue_of
from .finding import Subject, found
from .patience import TooLongError, causes, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu import Connection

    from .finding import Finding

PATIENCE: Final = 2.0  # seconds, for each step of talking to it
IN_ALL: Final = 3.0
LONG_QUEUE: Final = 1000  # messages

_SAYS: Final = {
    "broker_refused": "Nobody listens at {address}.",
    "broker_mute": f"{{address}} says nothing for {PATIENCE:g} s.",
    "broker_unknown_host": "The host of {address} has no address.",
    "broker_auth": "{address} refuses the user, the password or the virtual host.",
    "broker_tls": "TLS with {address} fails: {kind}.",
    "broker_read_only": "{address} is a replica that takes no messages.",
    "broker_failed": "{address} fails: {kind}.",
}


class ReadOnlyError(Exception):
    """A replica answers, and takes nothing."""


_BY_NAME: Final = {
    "ReadOnlyError": "broker_read_only",
    "AuthenticationError": "broker_auth",
    "AuthorizationError": "broker_auth",
    "AccessRefused": "broker_auth",
    "NotAllowed": "broker_auth",
}
_UNKNOWN_USER: Final = ("noauth", "wrongpass", "invalid password", "access_refused")
_BY_KIND: Final = (
    (socket.gaierror, "broker_unknown_host"),
    (ConnectionRefusedError, "broker_refused"),
    ((TooLongError, TimeoutError), "broker_mute"),
    (ssl.SSLError, "broker_tls"),
)


def current() -> Any:
    return current_app._get_current_object()  # type: ignore[attr-defined]


def examine_broker(app: Any) -> Iterator[Finding]:
    if not has_broker(app):
        text = "Celery has no broker, or is in eager mode: no worker can be told."
        yield found(Subject.BROKER, "broker_none", text)
        return
    queue = queue_of(app, conf.QUEUE)
    # Without the password; Kombu shows the place of one also where there is none.
    address = connection_of(app, PATIENCE).as_uri().replace("://:**@", "://")
    try:
        waiting = within(IN_ALL, partial(_length, app, queue))
    except Exception as exc:  # noqa: BLE001 - every transport has errors of its own
        code = fault_of(exc)
        kind = type(causes(exc)[-1]).__name__
        text = _SAYS[code].format(address=address, kind=kind)
        yield found(Subject.BROKER, code, text)
        return
    text = f"{address} answers; messages in the queue {queue or '-'}: {waiting}."
    yield found(Subject.BROKER, "broker_ok", text)
    if waiting > LONG_QUEUE:
        text = f"{waiting} messages wait in the queue {queue}."
        yield found(Subject.BROKER, "queue_long", text)


def _length(app: Any, queue: str | None) -> int:
    with connection_of(app, PATIENCE) as connection:
        channel: Any = connection.default_channel
        missing: Any = (ChannelError, *connection.channel_errors)
        if is_redis(connection) and _is_replica(channel.client):
            raise ReadOnlyError
        if queue is None:
            return 0  # an exchange of the project's decides
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except missing:
            return 0  # it is made with its first message


def is_redis(connection: Connection) -> bool:
    return str(connection.transport.driver_type) == "redis"


def _is_replica(client: Any) -> bool:
    # An ACL may keep INFO to itself; then the first message will tell.
    try:
        facts = client.info("replication")
    except Exception as exc:
        if "NOPERM" in str(exc) or "NoPermission" in type(exc).__name__:
            return False
        raise
    return bool(facts.get("role") == "slave")


def fault_of(exc: BaseException) -> str:
    """The code of whatever a transport raised: the first cause that says something."""
    codes = (_code_of(cause) for cause in reversed(causes(exc)))
    return next(filter(None, codes), "broker_failed")


def _code_of(exc: BaseException) -> str | None:
    # By name, since of the drivers only one need be installed.
    if code := _BY_NAME.get(type(exc).__name__):
        return code
    if any(word in str(exc).lower() for word in _UNKNOWN_USER):
        return "broker_auth"
    return next((code for kind, code in _BY_KIND if isinstance(exc, kind)), None)
