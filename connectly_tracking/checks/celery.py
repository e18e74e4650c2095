"""Celery: who tells the workers, who looks at the table, and who tidies up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from celery import current_app
from celery.loaders.default import Loader
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from ..conf import conf
from ..wakeup import PRUNE, TASK, queue_of
from .message import warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.checks import CheckMessage

GUIDE: Final = "https://docs.celeryq.dev/en/stable/django/first-steps-with-django.html"
INSTEAD: Final = "or run `connectly_deliver --loop` instead and silence this check."


def check_celery(**_: Any) -> list[CheckMessage]:
    """The project's own app must reach a broker, and beat must know our tasks."""
    try:
        return list(_faults(_app())) if conf.SEND else []
    except ImproperlyConfigured:
        return []  # said with the settings
    except Exception as exc:  # noqa: BLE001 - Celery's trouble must not stop `migrate`
        return [
            warning(
                "W013",
                f"Celery's settings cannot be read: {type(exc).__name__}.",
                "`celery -A … report` says more; no worker is told of an order.",
            )
        ]


def _faults(app: Any) -> Iterator[CheckMessage]:
    has_broker = bool(app.conf.broker_url or app.conf.broker_write_url)
    if not has_broker and isinstance(app.loader, Loader):
        yield warning(
            "W007",
            "Requests find Celery's own default app, not the project's: no worker is "
            "told of an order.",
            "Say `from .celery import app as celery_app` in the __init__.py beside "
            f"celery.py ({GUIDE}), {INSTEAD}",
        )
    elif app.conf.task_always_eager:
        yield warning(
            "W009",
            "Celery is in eager mode: no worker is told of an order.",
            f"Leave task_always_eager to the tests, {INSTEAD}",
        )
    elif not has_broker:
        yield warning(
            "W008",
            "Celery has no broker: no worker is told of an order.",
            f"Set CELERY_BROKER_URL ({GUIDE}), {INSTEAD}",
        )
    else:
        entries = _entries(app)
        if entries is not None:
            yield from _unscheduled({entry["task"] for entry in entries})
        queues = [entry.get("options", {}).get("queue") for entry in entries or ()]
        yield from _unread(app, [conf.QUEUE, *queues])


def _entries(app: Any) -> list[dict[str, Any]] | None:
    """Ours in the beat schedule; None where that is kept elsewhere."""
    # Another scheduler may also be named on beat's command line alone.
    is_own = str(app.conf.beat_scheduler).startswith("celery.beat")
    if not is_own or apps.is_installed("django_celery_beat"):
        return None
    if app.on_after_finalize.receivers and app.autofinalize:
        app.finalize()  # when Celery's guide has periodic tasks added
    entries = [dict(entry) for entry in app.conf.beat_schedule.values()]
    return [entry for entry in entries if entry.get("task") in {TASK, PRUNE}]


def _unscheduled(scheduled: set[str]) -> Iterator[CheckMessage]:
    if TASK not in scheduled:
        yield warning(
            "W010",
            f"The beat schedule lacks {TASK}: an order waits for ever if its wake-up "
            "is lost or the API is away.",
            f"Add it to CELERY_BEAT_SCHEDULE, every 30 seconds, {INSTEAD}",
        )
    if PRUNE not in scheduled:
        yield warning(
            "W011",
            f"The beat schedule lacks {PRUNE}: clicks and orders are kept for ever.",
            "Add it to CELERY_BEAT_SCHEDULE, once a day, or call retention.prune() "
            "from a job of your own and silence this check.",
        )


def _unread(app: Any, queues: list[Any]) -> Iterator[CheckMessage]:
    """Where our tasks are sent to queues that no worker reads by itself."""
    declared = list(app.amqp.queues.consume_from)
    is_strict = not app.conf.task_create_missing_queues
    for name in {queue_of(app, queue) for queue in queues} - {None, *declared}:
        if app.conf.task_queues or is_strict:
            yield warning(
                "W012",
                f"Our tasks go to the queue {name!r}, which is none of task_queues.",
                f"Name one of {', '.join(declared)} in CONNECTLY_TRACKING['QUEUE'] and "
                "in the options of the beat schedule; or silence this check if a "
                f"worker is started with -Q {name}.",
            )


def _app() -> Any:
    """The app as any thread of a web server finds it: Celery has one per thread."""
    with ThreadPoolExecutor(1) as threads:
        find = current_app._get_current_object  # type: ignore[attr-defined]
        return threads.submit(find).result()
