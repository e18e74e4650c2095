"""Findings on Celery: its schedule, its broker and its workers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from celery import current_app
from django.apps import apps
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from kombu.exceptions import ChannelError

from ..conf import conf
from ..exceptions import causes
from ..findings import Subject, found
from ..wakeup import (
    DELIVER,
    PRUNE,
    connection_of,
    has_broker,
    has_task_backend,
    queue_of,
)
from .check import run_check, with_timeout
from .settings import system_checks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..findings import Finding

BROKER_PATIENCE: Final = 2.0  # seconds, for each step of talking to it
BROKER_LIMIT: Final = 3.0  # seconds in all
WORKER_PATIENCE: Final = 1.0  # seconds that a worker may take to answer
WORKER_LIMIT: Final = 4.0
LONG_QUEUE: Final = 1000  # messages
#: The id of the system check for settings of Celery's that cannot be read.
UNREADABLE: Final = "connectly_tracking.W013"

_BROKER_TEXTS: Final = {
    "broker_refused": gettext_lazy("%(address)s refuses the connection."),
    "broker_mute": gettext_lazy("%(address)s does not answer within %(seconds)s s."),
    "broker_unknown_host": gettext_lazy(
        "The host name of %(address)s cannot be resolved."
    ),
    "broker_auth": gettext_lazy(
        "%(address)s refuses the user, the password or the virtual host."
    ),
    "broker_tls": gettext_lazy("The TLS connection to %(address)s failed: %(error)s."),
    "broker_read_only": gettext_lazy(
        "%(address)s is a replica that accepts no messages."
    ),
    "broker_failed": gettext_lazy("%(address)s failed: %(error)s."),
}


class ReadOnlyError(Exception):
    """The broker is a replica: it answers, but accepts no messages."""


#: By the error's name or a base's, since only one of the drivers need be installed.
_BY_ERROR: Final = {
    "ReadOnlyError": "broker_read_only",
    "AuthenticationError": "broker_auth",
    "AuthorizationError": "broker_auth",
    "AccessRefused": "broker_auth",
    "NotAllowed": "broker_auth",
    "gaierror": "broker_unknown_host",
    "ConnectionRefusedError": "broker_refused",
    "TimeoutError": "broker_mute",
    "SSLError": "broker_tls",
}
_BY_WORDS: Final = ("noauth", "wrongpass", "invalid password", "access_refused")


def examine_celery() -> list[Finding]:
    app = project_app()
    text = _("The system checks find no problem with Celery.")
    findings = system_checks(Subject.CELERY, "celery_ok", text)
    if any(finding.code == UNREADABLE for finding in findings):
        return findings
    findings += run_check(Subject.CELERY, partial(examine_schedule, app))
    findings += (broker := run_check(Subject.BROKER, partial(examine_broker, app)))
    if any(finding.code == "broker_ok" for finding in broker):
        findings += run_check(Subject.WORKERS, partial(examine_workers, app))
    return findings


def project_app() -> Any:
    return current_app._get_current_object()  # type: ignore[attr-defined]


def examine_schedule(app: Any) -> Iterator[Finding]:
    """Find a schedule that the system checks cannot read."""
    if apps.is_installed("django_celery_beat"):
        models: Any = apps.get_app_config("django_celery_beat")
        rows = models.get_model("PeriodicTask")._default_manager
        enabled = rows.filter(task__in=[DELIVER, PRUNE], enabled=True)
        for task in sorted(
            {DELIVER, PRUNE} - {*enabled.values_list("task", flat=True)}
        ):
            text = _("The schedule of django-celery-beat does not contain %(task)s.")
            text %= {"task": task}
            yield found(Subject.CELERY, "schedule_lacks", text)
    elif not str(app.conf.beat_scheduler).startswith("celery.beat"):
        text = _("The schedule is kept by %(scheduler)s.")
        text %= {"scheduler": app.conf.beat_scheduler}
        yield found(Subject.CELERY, "schedule_elsewhere", text)


def examine_broker(app: Any) -> Iterator[Finding]:
    if not has_broker(app) and not app.conf.task_always_eager and has_task_backend():
        text = _("Celery has no broker. An order wakes a worker of Django's own tasks.")
        yield found(Subject.BROKER, "broker_django_tasks", text)
        return
    if not has_broker(app):
        text = _(
            "Celery has no broker or is in eager mode, so a new order does not "
            "wake a worker."
        )
        yield found(Subject.BROKER, "broker_none", text)
        return
    queue = queue_of(app, conf.QUEUE)
    # Without the password. Kombu masks one even if there is none.
    address = connection_of(app, BROKER_PATIENCE).as_uri().replace("://:**@", "://")
    try:
        length = with_timeout(BROKER_LIMIT, partial(_queue_length, app, queue))
    except Exception as exc:  # noqa: BLE001 - every transport has errors of its own
        code = broker_problem(exc)
        error = type(causes(exc)[-1]).__name__
        text = _BROKER_TEXTS[code] % {
            "address": address,
            "error": error,
            "seconds": f"{BROKER_PATIENCE:g}",
        }
        yield found(Subject.BROKER, code, text)
        return
    text = _("%(address)s answers; messages in the queue %(queue)s: %(count)d.")
    text %= {"address": address, "queue": queue or "-", "count": length}
    yield found(Subject.BROKER, "broker_ok", text)
    if length > LONG_QUEUE:
        text = _("The queue %(queue)s holds %(count)d messages.")
        text %= {"queue": queue, "count": length}
        yield found(Subject.BROKER, "queue_long", text)


def _queue_length(app: Any, queue: str | None) -> int:
    with connection_of(app, BROKER_PATIENCE) as connection:
        channel: Any = connection.default_channel
        missing: Any = (ChannelError, *connection.channel_errors)
        is_redis = connection.transport.driver_type == "redis"
        if is_redis and _is_replica(channel.client):
            raise ReadOnlyError
        if queue is None:
            return 0  # an exchange of the project's decides
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except missing:
            return 0  # the first message creates it


def _is_replica(client: Any) -> bool:
    # If an ACL forbids INFO, only the first message can tell.
    try:
        info = client.info("replication")
    except Exception as exc:
        if "NOPERM" in str(exc) or "NoPermission" in type(exc).__name__:
            return False
        raise
    return bool(info.get("role") == "slave")


def broker_problem(exc: BaseException) -> str:
    """Return the finding's code for a transport's error, by its first known cause."""
    codes = (_code_of(cause) for cause in reversed(causes(exc)))
    return next(filter(None, codes), "broker_failed")


def _code_of(exc: BaseException) -> str | None:
    if any(word in str(exc).lower() for word in _BY_WORDS):
        return "broker_auth"
    names = (base.__name__ for base in type(exc).__mro__)
    return next((_BY_ERROR[name] for name in names if name in _BY_ERROR), None)


def examine_workers(app: Any) -> Iterator[Finding]:
    """Find out which workers run, read our queue and know our tasks."""
    queues, tasks = with_timeout(WORKER_LIMIT, partial(_ask_workers, app))
    if not queues:
        text = _("No worker answers within %(seconds)s s.")
        text %= {"seconds": f"{WORKER_PATIENCE:g}"}
        yield found(Subject.WORKERS, "worker_none", text)
        return
    queue = queue_of(app, conf.QUEUE)
    readers = [name for name, read in queues.items() if queue in read or queue is None]
    lacking = [name for name in readers if name in tasks and DELIVER not in tasks[name]]
    for name in lacking:
        text = _("%(worker)s reads the queue %(queue)s, but does not know %(task)s.")
        text %= {"worker": name, "queue": queue, "task": DELIVER}
        yield found(Subject.WORKERS, "worker_lacks_task", text)
    if not readers:
        text = _(
            "Our tasks are sent to the queue %(queue)s, which is not read by "
            "%(workers)s."
        )
        text %= {"queue": queue, "workers": _first_three(queues)}
        yield found(Subject.WORKERS, "worker_not_reading", text, queue=queue)
    elif not lacking:
        text = _("%(workers)s: reads the queue %(queue)s and knows our tasks.")
        text %= {"workers": _first_three(readers), "queue": queue}
        yield found(Subject.WORKERS, "worker_ok", text)


def _ask_workers(app: Any) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return, by worker, the queues that it reads and the tasks that it knows."""
    with connection_of(app, BROKER_PATIENCE) as connection:
        ask = partial(
            app.control.inspect, timeout=WORKER_PATIENCE, connection=connection
        )
        active: Mapping[str, Any] = ask().active_queues() or {}
        if not active:
            return {}, {}
        # With a limit it does not wait for further answers.
        again = ask(destination=list(active), limit=len(active))
        registered: Mapping[str, Any] = again.registered() or {}
    queues = {name: {it["name"] for it in read} for name, read in active.items()}
    # A task's attributes may follow its name.
    tasks = {
        name: {it.partition(" ")[0] for it in known}
        for name, known in registered.items()
    }
    return queues, tasks


def _first_three(names: Any) -> str:
    names = sorted(names)
    found, more = ", ".join(names[:3]), len(names) - 3
    if more <= 0:
        return found
    text = ngettext("%(names)s and %(n)d more", "%(names)s and %(n)d more", more)
    return text % {"names": found, "n": more}
