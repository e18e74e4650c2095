"""Each peer: how a shop enqueues an order with it, and how its workers are started."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..rows import body_of
from ..shop import PROCESSES, THREADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.db.models import QuerySet

    from ..shop import Shop

DJANGO: Final = (sys.executable, "-m", "django")


@dataclass(kw_only=True)
class Peer:
    """``enqueue``: writes a row for a body, in the transaction that is open.
    ``left``: the rows that are not done. ``commands``: of its workers; none if its
    messages need another server. ``share``: of the orders that are measured, as it
    sends fewer in the same time.
    """

    name: str
    enqueue: Callable[[str], object]
    left: Callable[[], QuerySet[Any]]
    commands: Sequence[Sequence[str]] = ()
    share: float = 0.25
    pids: Sequence[int] = ()

    def start_workers(self, shop: Shop) -> None:
        label = self.name.replace("-", "_")
        self.pids = [
            shop.supervisor.start(f"{label}_{number}", command).pid
            for number, command in enumerate(self.commands)
        ]

    def fill(self, count: int) -> None:
        self._bodies = [json.dumps(body_of(f"ORD-{it}")) for it in range(count)]

    def start(self) -> None:
        """All at once: workers see them when they are committed."""
        from django.db import transaction

        with transaction.atomic():
            for body in self._bodies:
                self.enqueue(body)

    def has_left(self) -> bool:
        return self.left().exists()

    def clear(self) -> None:
        model = self.left().model
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {model._meta.db_table} CASCADE")


def peers() -> Iterator[Peer]:
    """Those that are installed."""
    from .settings import FOUND

    yield from (MAKERS[module]() for module in FOUND)


def _django_ox() -> Peer:
    from django_ox.models import OxTask

    from . import django_tasks

    worker = ["ox_worker", "--backend", "django_ox", "--processes", str(PROCESSES)]
    return Peer(
        name="django-ox",
        enqueue=django_tasks.send_by_ox.enqueue,
        left=lambda: OxTask.objects.exclude(status="SUCCESSFUL"),
        commands=[[*DJANGO, *worker, "--concurrency", str(THREADS)]],
    )


def _django_tasks_db() -> Peer:
    from django_tasks_db.models import DBTaskResult

    from . import django_tasks

    worker = [*DJANGO, "db_worker", "--backend", "django_tasks_db"]
    return Peer(
        name="django-tasks-db",
        enqueue=django_tasks.send_by_tasks_db.enqueue,
        left=lambda: DBTaskResult.objects.exclude(status="SUCCESSFUL"),
        commands=[[*worker, "--no-startup-delay"]] * PROCESSES,
        share=0.05,
    )


def _procrastinate() -> Peer:
    from procrastinate.contrib.django.models import ProcrastinateJob

    from .procrastinates import send

    worker = [*DJANGO, "procrastinate", "worker", "--concurrency", str(THREADS)]
    return Peer(
        name="procrastinate",
        enqueue=lambda body: send.defer(body=body),
        left=lambda: ProcrastinateJob.objects.exclude(status="succeeded"),
        commands=[worker] * PROCESSES,
    )


def _django_celery_outbox() -> Peer:
    from django_celery_outbox.models import CeleryOutbox

    from .outbox import send

    celery = [sys.executable, "-m", "celery", "-A", "benchmarks.peers.outbox", "worker"]
    pool = [
        "--pool",
        "prefork",
        "-c",
        str(PROCESSES),
        "-Q",
        "outbox",
        "-n",
        "outbox@%h",
    ]
    return Peer(
        name="django-celery-outbox",
        enqueue=send.delay,
        left=CeleryOutbox.objects.all,
        commands=[[*DJANGO, "celery_outbox_relay"], [*celery, *pool]],
        share=0.05,
    )


def _django_outbox_pattern() -> Peer:
    from django_outbox_pattern.models import Published

    def enqueue(body: str) -> None:
        Published(destination="/topic/orders", body=json.loads(body)).save()

    return Peer(
        name="django-outbox-pattern", enqueue=enqueue, left=Published.objects.all
    )


MAKERS: Final = {
    "django_celery_outbox": _django_celery_outbox,
    "django_outbox_pattern": _django_outbox_pattern,
    "django_ox": _django_ox,
    "django_tasks_db": _django_tasks_db,
    "procrastinate": _procrastinate,
}
