"""Whether a worker is there, knows our tasks and reads our queue."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..conf import conf
from ..wakeup import TASK, connection_of, queue_of
from .broker import PATIENCE as BROKER_PATIENCE
from .finding import Subject, found
from .patience import within

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .finding import Finding

PATIENCE: Final = 1.0  # seconds that a worker may take to answer
IN_ALL: Final = 4.0


def examine_workers(app: Any) -> Iterator[Finding]:
    """Only of use where the broker answers."""
    queues, tasks = within(IN_ALL, partial(_ask, app))
    if not queues:
        text = f"No worker answers within {PATIENCE:g} s."
        yield found(Subject.WORKERS, "worker_none", text)
        return
    queue = queue_of(app, conf.QUEUE)
    readers = [name for name, read in queues.items() if queue in read or queue is None]
    lacking = [name for name in readers if name in tasks and TASK not in tasks[name]]
    for name in lacking:
        text = f"{name} reads the queue {queue} and does not know {TASK}."
        yield found(Subject.WORKERS, "worker_lacks_task", text)
    if not readers:
        text = (
            f"The queue {queue}, where our tasks go, is not read by {_names(queues)}."
        )
        yield found(Subject.WORKERS, "worker_not_reading", text, queue=queue)
    elif not lacking:
        text = f"Seen: {_names(readers)}, reading the queue {queue}, with our tasks."
        yield found(Subject.WORKERS, "worker_ok", text)


def _ask(app: Any) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """By worker: the queues that it reads, and the tasks that it knows."""
    with connection_of(app, BROKER_PATIENCE) as connection:
        ask = partial(app.control.inspect, timeout=PATIENCE, connection=connection)
        active: Mapping[str, Any] = ask().active_queues() or {}
        if not active:
            return {}, {}
        # With a limit it need not wait whether somebody else answers, too.
        again = ask(destination=list(active), limit=len(active))
        registered: Mapping[str, Any] = again.registered() or {}
    queues = {name: {it["name"] for it in read} for name, read in active.items()}
    # A task may come with its attributes behind it.
    tasks = {
        name: {it.partition(" ")[0] for it in known}
        for name, known in registered.items()
    }
    return queues, tasks


def _names(names: Any) -> str:
    first = sorted(names)
    more = f" and {len(first) - 3} more" if len(first) > 3 else ""
    return ", ".join(first[:3]) + more
