"""Checks of the project: its middleware, its databases and its Celery app."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

from celery import current_app
from celery.loaders.default import Loader
from django.apps import apps
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from ..conf import conf
from ..middleware import AttributionMiddleware
from ..models import Conversion
from ..wakeup import DELIVER, PRUNE, has_task_backend, queue_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.core.checks import CheckMessage
    from django.db.models import Model

#: As psycopg numbers the levels.
_POSTGRESQL_READ_COMMITTED: Final = 2

GUIDE: Final = "https://docs.celeryq.dev/en/stable/django/first-steps-with-django.html"


def check_middleware(**_kwargs: Any) -> list[CheckMessage]:
    """Check that AttributionMiddleware is installed, and what comes before it."""
    position = _position(AttributionMiddleware)
    if position is None:
        return [
            checks.Warning(
                _("AttributionMiddleware is not in MIDDLEWARE: no click is captured."),
                hint=_(
                    "Add 'connectly_tracking.middleware.AttributionMiddleware' after "
                    "SessionMiddleware, or call attribution.capture() yourself."
                ),
                id="connectly_tracking.W003",
            )
        ]
    session = _position(SessionMiddleware)
    if session is None or session > position:
        return [
            checks.Error(
                _("AttributionMiddleware must come after SessionMiddleware."),
                hint=_(
                    "Put it below SessionMiddleware in MIDDLEWARE. Without a session, "
                    "an order is matched to its click only if the customer is logged "
                    "in."
                ),
                id="connectly_tracking.E031",
            )
        ]
    return [
        checks.Warning(
            _("A page cache comes before AttributionMiddleware: %(path)s.")
            % {"path": path},
            hint=_(
                "Move %(path)s to the end of MIDDLEWARE, below "
                "AttributionMiddleware. UpdateCacheMiddleware may remain first. "
                "Otherwise no click is captured on a page that is served from the "
                "cache."
            )
            % {"path": path},
            id="connectly_tracking.W017",
        )
        for path, loaded in _loaded(settings.MIDDLEWARE[:position])
        # Other packages have given their own class Django's name.
        if any("FetchFromCache" in base.__name__ for base in loaded.__mro__)
    ]


def _position(middleware: type) -> int | None:
    for path, loaded in _loaded(settings.MIDDLEWARE):
        if issubclass(loaded, middleware):
            return settings.MIDDLEWARE.index(path)
    return None


def _loaded(middleware: Sequence[str]) -> Iterator[tuple[str, type]]:
    for path in middleware:
        with suppress(ImportError):  # Django reports it
            loaded = import_string(path)
            if isinstance(loaded, type):
                yield path, loaded


def check_databases(**_kwargs: Any) -> list[CheckMessage]:
    """Check that a conversion commits with its order, also on SQLite."""
    return list(_database_problems())


def _order_models() -> list[type[Model]]:
    """Return the models of the shop's orders, as far as they can be known.

    Those that ORDER_ADAPTER's parameter is annotated with, or else those called Order,
    or else all models of the app that has the adapter.
    """
    adapter, annotation = None, ""
    with suppress(ImproperlyConfigured):  # check_settings reports it
        adapter = conf.ORDER_ADAPTER
    with suppress(TypeError, ValueError):  # a callable without a signature
        parameters = signature(adapter).parameters.values() if adapter else ()
        annotation = next((str(it.annotation) for it in parameters), "")
    # As text: the class is often imported for type checkers alone.
    names = set(re.findall(r"\w+", annotation))
    models = apps.get_models()
    found = [model for model in models if model.__name__ in names]
    found = found or [model for model in models if model.__name__ == "Order"]
    if found or adapter is None:
        return found
    config = apps.get_containing_app_config(getattr(adapter, "__module__", ""))
    return list(config.get_models()) if config else []


def _database_problems() -> Iterator[CheckMessage]:
    using = router.db_for_write(Conversion)
    models = _order_models()
    databases = sorted({router.db_for_write(model) for model in models})
    if databases and using not in databases:
        names = ", ".join(sorted(model._meta.label for model in models))
        yield checks.Warning(
            _(
                "Orders (%(names)s) are written to the database %(databases)s, but "
                "conversions to '%(ours)s'."
            )
            % {
                "names": names,
                "databases": " / ".join(map(repr, databases)),
                "ours": using,
            },
            hint=_(
                "In DATABASE_ROUTERS, route the app connectly_tracking to the database "
                "of the orders. Otherwise one of the two may be committed without the "
                "other: an order that is never reported, or a report of an order that "
                "does not exist."
            ),
            id="connectly_tracking.W005",
        )
    ours = {
        model.__name__: router.db_for_write(model)
        for model in apps.get_models()
        if model._meta.app_label == Conversion._meta.app_label
    }
    places = {*ours.values()}
    if len(places) > 1:
        yield checks.Error(
            _("The tables of connectly_tracking are in several databases: %(places)s.")
            % {
                "places": ", ".join(
                    f"{name}: {alias!r}" for name, alias in ours.items()
                )
            },
            hint=_(
                "In DATABASE_ROUTERS, route the whole app to one database, that of the "
                "orders: its queries join these tables."
            ),
            id="connectly_tracking.E033",
        )
    for alias in sorted(places & set(connections)):
        connection = connections[alias]
        options = connection.settings_dict.get("OPTIONS", {})
        mode = options.get("transaction_mode") or "DEFERRED"
        if connection.vendor == "sqlite" and mode.upper() == "DEFERRED":
            yield checks.Warning(
                _("The SQLite database '%(alias)s' uses deferred transactions.")
                % {"alias": alias},
                hint=_(
                    "Set DATABASES['%(alias)s']['OPTIONS']['transaction_mode'] to "
                    "'IMMEDIATE', or orders that are placed at the same time fail with "
                    "'database is locked'."
                )
                % {"alias": alias},
                id="connectly_tracking.W004",
            )
        yield from _isolation_problems(alias, connection.vendor, options)


def _isolation_problems(
    alias: str, vendor: str, options: dict[str, Any]
) -> Iterator[CheckMessage]:
    level = options.get("isolation_level", "read committed")
    is_read_committed = {
        "mysql": str(level).lower() == "read committed",
        "postgresql": level in ("read committed", _POSTGRESQL_READ_COMMITTED),
    }
    if not is_read_committed.get(vendor, True):
        chosen = _("the server's isolation level") if level is None else repr(level)
        yield checks.Warning(
            _(
                "Transactions in the database '%(alias)s' run at %(level)s, and not at "
                "read committed."
            )
            % {"alias": alias, "level": chosen},
            hint=_(
                "Remove isolation_level from DATABASES['%(alias)s']['OPTIONS'], "
                "since Django's default is read committed. If you need the current "
                "level, retry a transaction that the database rolls back: when two "
                "requests report the same order at the same time, the database may "
                "roll back one of the two transactions. Our workers always use read "
                "committed."
            )
            % {"alias": alias},
            id="connectly_tracking.W014",
        )


def check_celery(**_kwargs: Any) -> list[CheckMessage]:
    """Check that the project's app has a broker and that beat schedules our tasks."""
    try:
        return list(_celery_problems(_project_app())) if conf.SEND else []
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


def _celery_problems(app: Any) -> Iterator[CheckMessage]:
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
    return [entry for entry in entries if entry.get("task") in {DELIVER, PRUNE}]


def _unscheduled(scheduled: set[str]) -> Iterator[CheckMessage]:
    if DELIVER not in scheduled:
        yield checks.Warning(
            _(
                "The beat schedule does not contain %(task)s: an order is never sent "
                "if its wake-up message is lost or the API is unavailable."
            )
            % {"task": DELIVER},
            hint=_(
                "Add %(entry)s to CELERY_BEAT_SCHEDULE. If you run "
                "`connectly_deliver --loop` instead of Celery workers, silence this "
                "check."
            )
            % {"entry": f'{{"task": "{DELIVER}", "schedule": 30}}'},
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
