"""The brokers on which a fault is tried: Redis, and RabbitMQ where there is one."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from kombu import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from .shop import Shop

AMQP_URL: Final = os.environ.get("CI_AMQP_URL")


@contextmanager
def redis(shop: Shop) -> Iterator[None]:
    shop.broker = shop.redis().url
    yield


@contextmanager
def rabbitmq(shop: Shop) -> Iterator[None]:
    """With a queue of this test's own, on a server that others may use, too."""
    assert AMQP_URL is not None
    name = f"connectly-faults-{uuid.uuid4().hex}"
    shop.broker = AMQP_URL
    shop.configure(QUEUE=name)
    shop.set(CELERY_TASK_DEFAULT_QUEUE=name)
    try:
        yield
    finally:
        shop.end()
        with Connection(AMQP_URL) as connection:
            channel: Any = connection.default_channel
            channel.queue_delete(name)
            channel.exchange_delete(name)


BROKERS: Final[Mapping[str, Callable[[Shop], AbstractContextManager[None]]]] = {
    "redis": redis,
    **({} if AMQP_URL is None else {"rabbitmq": rabbitmq}),
}
