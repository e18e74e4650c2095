"""What can be found wrong, with its level and what to do about it.

The doctor, the delivery page, ``watch`` and monitors use the same codes. The table in
docs/operator/doctor.md is the same; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from .remedies import FOR_ANSWER, FOR_NO_WORKER, FOR_PAUSE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django_stubs_ext import StrOrPromise

    from .api.secret import Secret

MAX_WORDS: Final = 300  # characters of a message that is not ours


class Level(StrEnum):
    """From good to bad. The values are the same in every language."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


class Subject(StrEnum):
    """What a finding is about, in the order of the report. The values are the same in
    every language.
    """

    SETTINGS = "settings"
    PROJECT = "project"
    SESSIONS = "sessions"
    DATABASE = "database"
    CELERY = "celery"
    BROKER = "broker"
    WORKERS = "workers"
    DELIVERY = "delivery"
    API = "api"


_OK: Final = (
    "settings_ok",
    "business_ready",
    "project_ok",
    "sessions_ok",
    "database_ok",
    "celery_ok",
    "broker_ok",
    "worker_ok",
    "nothing_overdue",
    "last_answer_ok",
    "api_ok",
    "api_test_ok",
)


def _and(first: StrOrPromise, second: StrOrPromise) -> StrOrPromise:
    """Return two sentences, one after the other."""
    return format_lazy("{} {}", first, second)


_BIND: Final = _(
    "Bind the click to the order (bind_order or make_token), or let customers log in: "
    "a user's clicks are found without the session."
)
_NTP: Final = _("Synchronize both clocks with NTP.")
_MEANWHILE: Final = _(
    "Until then, `connectly_deliver` sends orders without the broker."
)

_NOTES: Final[dict[str, StrOrPromise]] = {
    "sending_off": _("Set SEND to True to report orders."),
    "session_short": _and(
        _BIND, _("Or set SESSION_COOKIE_AGE (in seconds) to at least {seconds}.")
    ),
    "session_ends_with_browser": _BIND,
    "session_in_cache": _and(_BIND, _("Or use the session engine cached_db.")),
    "session_per_host": _(
        "If customers can land on one host and buy on another, set "
        "SESSION_COOKIE_DOMAIN to {domain}, or keep the query string in every redirect "
        "between the hosts."
    ),
    "schedule_elsewhere": _(
        "In that scheduler, check that connectly_tracking.deliver_due runs every 30 "
        "seconds and connectly_tracking.prune once a day."
    ),
    "database_pool": _(
        "For a pool that is kept, start the worker with `--pool threads`, or run "
        "`connectly_deliver --loop`. See docs/operator/running.md."
    ),
    "broker_django_tasks": _(
        "Check that a worker of the TASKS backend runs, and that cron runs "
        "`connectly_deliver` once a minute and `connectly_prune` once a day."
    ),
    "broker_none": _(
        "Run `connectly_deliver --loop`, or set CELERY_BROKER_URL and start a worker."
    ),
    "nothing_sent_yet": _(
        "Run `connectly_doctor --probe` to test the key and the business."
    ),
}

_WARNINGS: Final[dict[str, StrOrPromise]] = {
    "database_charset": _(
        "Convert the tables of connectly_tracking to utf8mb4 (on PostgreSQL, use a "
        "UTF8 database). Until then, characters outside this set are escaped in "
        "stored answers, and order ids that contain them are refused."
    ),
    "database_clock_apart": _NTP,
    "database_isolation": _(
        "Set the level to read committed for the shop's database user. If you need "
        "the current level, retry a transaction that the database rolls back: when "
        "two requests report the same order at the same time, the database may roll "
        "back one of the two transactions."
    ),
    "schedule_lacks": _("Add an enabled periodic task for it in the admin."),
    "queue_long": _(
        "Start more workers that read this queue. A task of yours may be blocking them."
    ),
    "worker_none": _(
        "Start a worker: `celery -A … worker`. If you run `connectly_deliver --loop` "
        "instead of workers, ignore this warning. A worker with `--pool=solo` does "
        "not answer while it runs a task."
    ),
    "worker_not_reading": _(
        "Start a worker with -Q {queue}, or change CONNECTLY_TRACKING['QUEUE'] and the "
        "options of the beat schedule."
    ),
    "behind": _(
        "If this lasts, raise THREADS or start another worker. The attempts in the "
        "admin show how long the API takes."
    ),
    "database_may_be_copied": _(
        "If this database is a copy or was restored from a backup, set SEND to False "
        "before a worker sends these orders from here, too (docs/operator/staging.md)."
    ),
    "business_forgotten": _(
        "Put the business back into CONNECTLY_TRACKING['BUSINESSES']. Without it, "
        "nothing is sent for the business."
    ),
    "failing": _(
        "Open a waiting order in the admin, and read the last attempts on its "
        "timeline. Orders are sent again until they expire."
    ),
    "expiring_soon": _(
        "Open the waiting orders in the admin: each page says why it waits. "
        "Orders that expire are not sent."
    ),
    "rejected_lately": _(
        "Open the rejected orders in the admin: each page says what to do. "
        "`connectly_replay --state rejected` sends them again."
    ),
    "expired_lately": _(
        "Open the expired orders in the admin to see why they waited. "
        "`connectly_replay --state expired` sends them again, but Meta refuses "
        "orders that are more than 7 days old."
    ),
    "clicks_stopped": _(
        "Open an ad's link yourself. If no click appears, look for a change of the "
        "site, of a redirect or of the campaign's option that adds the parameters."
    ),
    "orders_stopped": _(
        "Place a test order. If it does not appear, look for a change in the checkout "
        "or in the payment webhook."
    ),
    "parameter_missing": _(
        "Check that an ad's link has all five parameters: cnct_tracking_id, "
        "sendout_id, ctwa_clid, ad_id and attribution_source. If one is missing, the "
        "campaign no longer adds it; otherwise something between the ad and the shop "
        "removes it."
    ),
    "paused_by_hand": FOR_PAUSE["by_hand"],
    "paused_unavailable": FOR_PAUSE["unavailable"],
    "paused_throttled": FOR_PAUSE["throttled"],
    "last_answer_bad": _(
        "Read the attempts in the admin. `connectly_doctor --probe` asks the API now."
    ),
    "api_event_refused": _and(
        FOR_ANSWER["api_event_refused"],
        _(
            "Meta refuses made-up click ids: pass a real link with --click. A refused "
            "event may have been counted."
        ),
    ),
    "api_throttles": FOR_ANSWER["api_throttles"],
    "api_unavailable": FOR_ANSWER["api_unavailable"],
    "api_clock_apart": _NTP,
}

_ERRORS: Final[dict[str, StrOrPromise]] = {
    **{code: it for code, it in FOR_ANSWER.items() if code not in _WARNINGS},
    "check_failed": _(
        "The rest of the report is valid. `manage.py check` or the log may say more."
    ),
    "business_not_ready": _(
        "Set BUSINESS_ID and API_KEY where the shop runs. Connectly shows both under "
        "Settings, General, API Key."
    ),
    "database_unreachable": _(
        "Check DATABASES: is the server running, and are the host, the name and "
        "the password right?"
    ),
    "database_mute": _(
        "Check the network and the server's load. A firewall that drops packets has "
        "the same effect."
    ),
    "migrations_missing": _("Run `manage.py migrate connectly_tracking`."),
    "database_read_only": _("Point DATABASES (or the router) at the primary."),
    "database_locked": _("Look for an open transaction, a migration or a backup."),
    "database_refuses": _(
        "Grant the shop's database user SELECT, INSERT, UPDATE and DELETE on the "
        "tables of connectly_tracking, and run `manage.py migrate`."
    ),
    "database_clock_far_apart": _and(
        _NTP,
        _(
            "Until then, orders may seem to be placed before their click, or in the "
            "future."
        ),
    ),
    "broker_refused": _and(
        _("Start the broker, or correct the port in CELERY_BROKER_URL."), _MEANWHILE
    ),
    "broker_mute": _and(
        _(
            "Check the broker's load and the firewalls on the way to it. rediss:// "
            "with a Redis that does not use TLS has the same effect."
        ),
        _MEANWHILE,
    ),
    "broker_unknown_host": _("Check CELERY_BROKER_URL and this machine's name server."),
    "broker_auth": _(
        "Correct the user, the password and the virtual host in CELERY_BROKER_URL."
    ),
    "broker_tls": _(
        "Check whether the broker uses TLS (then write rediss:// or amqps://), and "
        "whether this machine trusts its certificate."
    ),
    "broker_read_only": _("Set CELERY_BROKER_URL to the (new) primary."),
    "broker_failed": _("Run `celery -A … inspect ping` to see more."),
    "worker_lacks_task": _(
        "Call `app.autodiscover_tasks()` in celery.py, add connectly_tracking to "
        "INSTALLED_APPS, and restart the worker."
    ),
    "settings_wrong": _("Run `manage.py check`: it names each wrong value."),
    "nobody_looks": FOR_NO_WORKER,
    "paused_configuration": _and(
        FOR_PAUSE["configuration"],
        _("Run `connectly_doctor --probe` to see which one is wrong."),
    ),
    "paused_meta_link": FOR_PAUSE["meta_link"],
    "paused_refusals": _and(
        FOR_PAUSE["refusals"],
        _("`connectly_replay --reason refused` sends the rejected orders again."),
    ),
    "api_accepts_anything": _and(
        _("Connectly must refuse such an event, so something else answers."),
        FOR_ANSWER["api_not_connectly"],
    ),
    "api_clock_far_apart": _and(
        _NTP, _("Meta refuses events that are too old or in the future.")
    ),
}

CATALOGUE: Final[dict[str, tuple[Level, StrOrPromise]]] = {
    **dict.fromkeys(_OK, (Level.OK, "")),
    **{code: (Level.NOTE, remedy) for code, remedy in _NOTES.items()},
    **{code: (Level.WARNING, remedy) for code, remedy in _WARNINGS.items()},
    **{code: (Level.ERROR, remedy) for code, remedy in _ERRORS.items()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``code`` does not change between versions, nor with the language; the texts are
    in the language that was active when it was found. ``remedy`` is empty if all is
    well; ``business`` is empty if the finding concerns all of them.
    """

    subject: Subject
    code: str
    level: Level
    text: str
    remedy: str = ""
    business: str = ""

    @property
    def is_problem(self) -> bool:
        """Whether somebody should look at it."""
        return self.level in {Level.WARNING, Level.ERROR}

    def masked(self, secrets: Iterable[Secret]) -> Finding:
        """Replace the secrets by ``***``."""
        text, remedy = self.text, self.remedy
        for secret in secrets:
            text, remedy = secret.mask(text), secret.mask(remedy)
        return replace(self, text=text, remedy=remedy)


def found(
    subject: Subject, code: str, text: str, *, business: str = "", **details: object
) -> Finding:
    """Make a finding of the catalogue; ``details`` complete its remedy."""
    level, remedy = CATALOGUE[code]
    return Finding(
        subject=subject,
        code=code,
        level=level,
        text=text,
        remedy=str(remedy).format(**details) if details else str(remedy),
        business=business,
    )


def one_line(message: object) -> str:
    """Make a message that is not ours fit on a line."""
    text = " ".join(str(message).split())
    return text if len(text) <= MAX_WORDS else f"{text[: MAX_WORDS - 1]}…"
