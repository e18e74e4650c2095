"""Check of Celery: its app, broker, schedule and queues."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from celery import current_app
from celery.loaders.default import Loader
from django.apps import apps
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _

from ..conf import conf
from ..wakeup import PRUNE, TASK, has_task_backend, queue_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.checks import CheckMessage

GUIDE: Final = "https://docs.celeryq.dev/en/stable/django/first-steps-with-django.html"


def check_celery(**_kwargs: Any) -> list[CheckMessage]:
    """Check that the project's app has a broker and that beat schedules our tasks."""
    try:
        return list(_problems(_project_app())) if conf.SEND else []
    except ImproperlyConfigured:
        return []  # check_settings reports it
    except Exception as exc:  # noqa: BLE001 - an error of Celery's must not stop `migrate`
        return [
            checks.Warning(
                _("Celery's settings cannot be read: %(error)s.")
                % {"error": type(exc).__name__},
                hint=_(
                    "Run `celery -A … report` to see more. Until this is corrected, "
                    "a new order does not wake a worker."
                ),
                id="connectly_tracking.W013",
            )
        ]


def _problems(app: Any) -> Iterator[CheckMessage]:
    has_broker = bool(app.conf.broker_url or app.conf.broker_write_url)
    if not has_broker and not app.conf.task_always_eager and has_task_backend():
        return  # Django's own tasks take the place of Celery
    if not has_broker and isinstance(app.loader, Loader):
        yield checks.Warning(
            _(
                "Requests use Celery's default app, not the project's, so a new "
                "order does not wake a worker."
            ),
            hint=_(
                "Write `from .celery import app as celery_app` in the __init__.py "
                "next to celery.py (%(guide)s). If you run `connectly_deliver "
                "--loop` instead of Celery workers, silence this check."
            )
            % {"guide": GUIDE},
            id="connectly_tracking.W007",
        )
    elif app.conf.task_always_eager:
        yield checks.Warning(
            _("Celery runs in eager mode, so a new order does not wake a worker."),
            hint=_(
                "Set task_always_eager only in tests. If you run `connectly_deliver "
                "--loop` instead of Celery workers, silence this check."
            ),
            id="connectly_tracking.W009",
        )
    elif not has_broker:
        yield checks.Warning(
            _("Celery has no broker, so a new order does not wake a worker."),
            hint=_(
                "Set CELERY_BROKER_URL (%(guide)s). If you run `connectly_deliver "
                "--loop` instead of Celery workers, silence this check."
            )
            % {"guide": GUIDE},
            id="connectly_tracking.W008",
        )
    else:
        entries = _schedule(app)
        if entries is not None:
            yield from _unscheduled({entry["task"] for entry in entries})
        queues = [entry.get("options", {}).get("queue") for entry in entries or ()]
        yield from _unread(app, [conf.QUEUE, *queues])


def _schedule(app: Any) -> list[dict[str, Any]] | None:
    """Return our entries of the beat schedule; None if it is kept elsewhere."""
    # Another scheduler may also be named on beat's command line alone.
    is_own = str(app.conf.beat_scheduler).startswith("celery.beat")
    if not is_own or apps.is_installed("django_celery_beat"):
        return None
    if app.on_after_finalize.receivers and app.autofinalize:
        app.finalize()  # Celery's guide adds periodic tasks then
    entries = [dict(entry) for entry in app.conf.beat_schedule.values()]
    return [entry for entry in entries if entry.get("task") in {TASK, PRUNE}]


def _unscheduled(scheduled: set[str]) -> Iterator[CheckMessage]:
    if TASK not in scheduled:
        yield checks.Warning(
            _(
                "The beat schedule does not contain %(task)s: an order is never sent "
                "if its wake-up message is lost or the API is unavailable."
            )
            % {"task": TASK},
            hint=_(
                "Add %(entry)s to CELERY_BEAT_SCHEDULE. If you run "
                "`connectly_deliver --loop` instead of Celery workers, silence this "
                "check."
            )
            % {"entry": f'{{"task": "{TASK}", "schedule": 30}}'},
            id="connectly_tracking.W010",
        )
    if PRUNE not in scheduled:
        yield checks.Warning(
            _(
                "The beat schedule does not contain %(task)s: clicks and orders are "
                "kept forever."
            )
            % {"task": PRUNE},
            hint=_(
                "Add %(entry)s to CELERY_BEAT_SCHEDULE. If you run `connectly_prune` "
                "once a day instead, silence this check."
            )
            % {
                "entry": f'{{"task": "{PRUNE}", "schedule": crontab(hour=4, minute=0)}}'
            },
            id="connectly_tracking.W011",
        )


def _unread(app: Any, queues: list[Any]) -> Iterator[CheckMessage]:
    """Yield a warning for each queue of ours that no worker reads by default."""
    declared = list(app.amqp.queues.consume_from)
    is_strict = not app.conf.task_create_missing_queues
    for name in {queue_of(app, queue) for queue in queues} - {None, *declared}:
        if app.conf.task_queues or is_strict:
            yield checks.Warning(
                _(
                    "Our tasks are sent to the queue '%(queue)s', which is not in "
                    "task_queues."
                )
                % {"queue": name},
                hint=_(
                    "Set CONNECTLY_TRACKING['QUEUE'] and the options of the beat "
                    "schedule to one of %(queues)s. Or start a worker with -Q "
                    "%(queue)s and silence this check."
                )
                % {"queue": name, "queues": ", ".join(declared)},
                id="connectly_tracking.W012",
            )


def _project_app() -> Any:
    """Return the app as any thread of a web server finds it: it is set per thread."""
    with ThreadPoolExecutor(1) as threads:
        find = current_app._get_current_object  # type: ignore[attr-defined]
        return threads.submit(find).result()
