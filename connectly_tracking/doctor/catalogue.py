"""Every code of the doctor's own: how bad it is, and what to do.

The table of docs/doctor.md is made of the same; a test compares them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Level(StrEnum):
    """From good to bad."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


class Entry(NamedTuple):
    level: Level
    remedy: str = ""


_OK: Final = Entry(Level.OK)


def _note(remedy: str) -> Entry:
    return Entry(Level.NOTE, remedy)


def _warning(remedy: str) -> Entry:
    return Entry(Level.WARNING, remedy)


def _error(remedy: str) -> Entry:
    return Entry(Level.ERROR, remedy)


_SHORT_SESSION: Final = (
    "Carry the click with the order (bind_order or make_token), or let customers log "
    "in: a user's own clicks are found without the session."
)
_SYNCHRONIZE: Final = "Have both machines keep time by NTP."
_ADDRESS: Final = (
    "BASE_URL must be https://api.connectly.ai; leave it out to have that."
)
_WAIT: Final = "It ends by itself; nothing is lost meanwhile."

CATALOGUE: Final[dict[str, Entry]] = {
    "check_failed": _error(
        "The rest of the report holds; `manage.py check` or the log may say more."
    ),
    # settings, project, sessions
    "settings_ok": _OK,
    "project_ok": _OK,
    "celery_ok": _OK,
    "sending_off": _note("Set SEND to True where orders are to be reported."),
    "business_ready": _OK,
    "business_not_ready": _error(
        "Set both where the shop runs; they come from Connectly's inbox: Settings, "
        "General, API Key."
    ),
    "sessions_ok": _OK,
    "session_short": _note(
        f"{_SHORT_SESSION} Or set SESSION_COOKIE_AGE to {{seconds}}."
    ),
    "session_ends_with_browser": _note(_SHORT_SESSION),
    "session_in_cache": _note(
        f"{_SHORT_SESSION} Or use the engine cached_db, which keeps them."
    ),
    # database
    "database_ok": _OK,
    "database_unreachable": _error(
        "Compare DATABASES with the server: is it up, are host, name and password "
        "right?"
    ),
    "database_mute": _error(
        "Look at the network and the server's load; a firewall that drops packets "
        "looks like this."
    ),
    "migrations_missing": _error("Run `manage.py migrate connectly_tracking`."),
    "database_read_only": _error(
        "Point DATABASES (or the router) at the primary, not at a replica."
    ),
    "database_locked": _error(
        "Find out who holds the lock: a transaction left open, a migration or a backup."
    ),
    "database_refuses": _error(
        "Grant the shop's database user SELECT, INSERT, UPDATE and DELETE on our "
        "tables, and run `manage.py migrate`."
    ),
    "database_charset": _warning(
        "Convert the table to utf8mb4 (on PostgreSQL: a database in UTF8); until "
        "then answers are kept with escapes, and such order ids are refused."
    ),
    "database_clock_apart": _warning(_SYNCHRONIZE),
    "database_clock_far_apart": _error(
        f"{_SYNCHRONIZE} Orders may look as if they were placed before their click, "
        "or in the future."
    ),
    # celery
    "schedule_lacks": _warning(
        "Add an enabled periodic task for it in the admin of django-celery-beat."
    ),
    "schedule_elsewhere": _note(
        "See there that connectly_tracking.deliver_due runs every 30 seconds and "
        "connectly_tracking.prune once a day."
    ),
    # broker
    "broker_ok": _OK,
    "broker_none": _note(
        "Run `connectly_deliver --loop`, or set CELERY_BROKER_URL and start a worker."
    ),
    "broker_refused": _error(
        "Start the broker, or mend the port in CELERY_BROKER_URL. Orders are recorded "
        "meanwhile; `connectly_deliver` sends them without it."
    ),
    "broker_mute": _error(
        "Look at the broker's load and at firewalls between here and there; rediss:// "
        "before a Redis without TLS looks like this, too. Orders are recorded "
        "meanwhile; `connectly_deliver` sends them without it."
    ),
    "broker_unknown_host": _error(
        "Mend the host in CELERY_BROKER_URL, or the name server."
    ),
    "broker_auth": _error("Mend user, password and virtual host in CELERY_BROKER_URL."),
    "broker_tls": _error(
        "See whether the broker speaks TLS (rediss:// or amqps:// if so) and whether "
        "its certificate is trusted here."
    ),
    "broker_read_only": _error(
        "CELERY_BROKER_URL must name the primary; after a failover, the new one."
    ),
    "broker_failed": _error("`celery -A … inspect ping` says more."),
    "queue_long": _warning(
        "Start a worker that reads this queue, or more of them; a task of yours may "
        "hold them up."
    ),
    # workers
    "worker_ok": _OK,
    "worker_none": _warning(
        "Start one: `celery -A … worker`. One with the pool solo is silent while it "
        "works. Where `connectly_deliver` sends instead, nothing is wrong."
    ),
    "worker_not_reading": _warning(
        "Start a worker with -Q {queue}, or change CONNECTLY_TRACKING['QUEUE'] and "
        "the schedule's options."
    ),
    "worker_lacks_task": _error(
        "Have `app.autodiscover_tasks()` in celery.py and connectly_tracking in "
        "INSTALLED_APPS, then restart the worker."
    ),
    # delivery
    "nothing_overdue": _OK,
    "nobody_looks": _error(
        "Is a worker up, does it read the queue, does beat run with the schedule? "
        "`manage.py connectly_deliver` sends all of it now."
    ),
    "behind": _warning(
        "Somebody looks and sends. If it lasts, raise THREADS or start another worker, "
        "and read in the attempts how long the API takes."
    ),
    "business_forgotten": _warning(
        "Put the business back into CONNECTLY_TRACKING['BUSINESSES']; nobody sends for "
        "one that the settings lack."
    ),
    "paused_configuration": _error(
        "Mend the key (401, 403), the business id or its WhatsApp channel (404) or "
        "BASE_URL (others); a change is tried at once. `connectly_doctor --probe` says "
        "which."
    ),
    "paused_refusals": _error(
        "Read the attempts in the admin: Connectly or Meta says what is wrong with "
        "the events. `connectly_replay` sends again what was rejected."
    ),
    "paused_unavailable": _warning(
        "It ends by itself once the API answers; nothing is lost meanwhile."
    ),
    "paused_throttled": _warning(_WAIT),
    "last_answer_ok": _OK,
    "last_answer_bad": _warning(
        "Read the attempts in the admin; `connectly_doctor --probe` asks the API now."
    ),
    "nothing_sent_yet": _note(
        "`connectly_doctor --probe` asks the API whether key and business are right."
    ),
    # API
    "api_ok": _OK,
    "api_test_ok": _OK,
    "api_key_refused": _error(
        "Copy API_KEY from Connectly again (Settings, General, API Key), or make a "
        "new one there."
    ),
    "api_business_unknown": _error(
        "Compare BUSINESS_ID with Connectly's; the business also needs a WhatsApp "
        "Cloud channel, and the key must be its own."
    ),
    "api_address_wrong": _error(_ADDRESS),
    "api_redirects": _error(f"{_ADDRESS} A redirect is never followed."),
    "api_not_connectly": _error(
        f"{_ADDRESS} A captive portal, a proxy or a maintenance page answers like this."
    ),
    "api_accepts_anything": _error(
        f"What answers there accepts what Connectly must refuse. {_ADDRESS}"
    ),
    "api_event_refused": _warning(
        "The words are Connectly's or Meta's. Meta refuses made-up click ids, so give "
        "a link's own with --click; a 400 may have been counted."
    ),
    "api_throttles": _warning("Wait as long as it asks for, then ask again."),
    "api_unavailable": _warning(
        "It is in trouble and says so: events wait and are tried again by themselves."
    ),
    "api_unknown_host": _error("Mend BASE_URL, or this machine's name server."),
    "api_tls": _error(
        "Where a proxy opens TLS, name its certificate in CA_BUNDLE; else look at "
        "this machine's clock and certificates."
    ),
    "api_refused": _error(
        "Nobody listens there: look at BASE_URL, PROXIES and the firewall."
    ),
    "api_proxy": _error(
        "Look at PROXIES, HTTPS_PROXY and NO_PROXY, and at what the proxy allows."
    ),
    "api_mute": _error(
        "A firewall drops packets on the way out, or the API hangs: try again, then "
        "open port 443 to it or set PROXIES."
    ),
    "api_failed": _error("Try again; the words say what broke."),
    "api_clock_apart": _warning(_SYNCHRONIZE),
    "api_clock_far_apart": _error(
        f"{_SYNCHRONIZE} Meta refuses events from the future, and those that are too "
        "old."
    ),
}
