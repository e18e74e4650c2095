"""What ``manage.py check`` says of the settings, the middleware and the database."""

from __future__ import annotations

import difflib
from typing import Any, Final

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.utils.module_loading import import_string

from .conf import DEFAULT_BUSINESS, NAMES, VALIDATORS, conf
from .middleware import AttributionMiddleware
from .models import Attribution, Conversion

#: One id per setting, for good: a new setting takes the next number.
SETTING_IDS: Final = {
    "BUSINESSES": "E001",
    "BUSINESS_ID": "E002",
    "API_KEY": "E003",
    "BUSINESS_RESOLVER": "E004",
    "BASE_URL": "E005",
    "SEND": "E006",
    "ORDER_ADAPTER": "E007",
    "ATTRIBUTION_WINDOW": "E008",
    "RECORD_UNATTRIBUTED": "E009",
    "STRICT": "E010",
    "LEASE": "E011",
    "DEADLINE": "E012",
    "CONNECT_TIMEOUT": "E013",
    "READ_TIMEOUT": "E014",
    "RETRY_SCHEDULE": "E015",
    "BATCH": "E016",
    "THREADS": "E017",
    "PROXIES": "E018",
    "CA_BUNDLE": "E019",
    "RETENTION": "E020",
    "QUEUE": "E021",
    "HOLD": "E023",
    "MAX_EVENT_AGE": "E024",
    "PROBE_SCHEDULE": "E025",
    "ATTRIBUTION_TOUCH": "E026",
    "CONSENT": "E027",
    "OSCAR_PURCHASE_STATUS": "E040",
    "OSCAR_CANCEL_STATUSES": "E041",
}


def register() -> None:
    """Called once the app registry is ready."""
    checks.register(check_settings, checks.Tags.compatibility)
    checks.register(check_credentials, checks.Tags.security)
    checks.register(check_credentials_deployed, checks.Tags.security, deploy=True)
    checks.register(check_middleware, checks.Tags.compatibility)
    checks.register(check_databases, checks.Tags.compatibility)


def check_settings(**_: Any) -> list[CheckMessage]:
    """Each setting by itself, then those that must fit each other."""
    try:
        given = conf.given
    except ImproperlyConfigured as exc:
        return [_error("E000", str(exc), "Write CONNECTLY_TRACKING = {…}.")]
    found: list[CheckMessage] = [
        checks.Warning(
            f"CONNECTLY_TRACKING has no setting {name!r}.",
            hint=_nearest(name),
            id="connectly_tracking.W002",
        )
        for name in given
        if name not in NAMES
    ]
    for name in NAMES:
        if name not in {"BUSINESS_ID", "API_KEY"} and (fault := _fault_of(name)):
            hint = "See docs/settings.md for what it takes."
            found.append(_error(SETTING_IDS[name], fault, hint))
    if found:
        return found
    if DEFAULT_BUSINESS not in conf.BUSINESSES and conf.BUSINESS_RESOLVER is None:
        found.append(
            checks.Warning(
                "There is neither a default business nor a BUSINESS_RESOLVER.",
                hint="Orders must then name their business, or are refused.",
                id="connectly_tracking.W006",
            )
        )
    if conf.LEASE < 2 * conf.DEADLINE:
        found.append(
            _error(
                "E030",
                f"CONNECTLY_TRACKING['LEASE'] ({conf.LEASE:g} s) is less than twice "
                f"DEADLINE ({conf.DEADLINE:g} s).",
                "A row's lease must outlive its request, or it is sent twice.",
            )
        )
    age = conf.MAX_EVENT_AGE
    if age is not None and age.total_seconds() <= conf.HOLD:
        found.append(
            _error(
                "E032",
                f"CONNECTLY_TRACKING['HOLD'] ({conf.HOLD:g} s) is not less than "
                f"MAX_EVENT_AGE ({age.total_seconds():g} s).",
                "Each order would expire before it may go; hold for less.",
            )
        )
    return found


def check_credentials(**_: Any) -> list[CheckMessage]:
    """What is given must be right; what is missing only stops the sending."""
    return [
        checks.Warning(
            f"{name} is missing: clicks and orders are recorded, nothing is sent.",
            hint="Take it from the environment; the key never belongs into the code.",
            id="connectly_tracking.W001",
        )
        for name in _missing_credentials()
    ] + _wrong_credentials()


def check_credentials_deployed(**_: Any) -> list[CheckMessage]:
    """``check --deploy``: without credentials no campaign gets its credit."""
    return [
        _error("E022", f"{name} is missing.", "Set it where the shop is deployed.")
        for name in _missing_credentials()
    ]


def check_middleware(**_: Any) -> list[CheckMessage]:
    """Ours must run, and must find the session."""
    ours = _position(AttributionMiddleware)
    if ours is None:
        return [
            checks.Warning(
                "AttributionMiddleware is not in MIDDLEWARE: no landing is captured.",
                hint="Add 'connectly_tracking.middleware.AttributionMiddleware' after "
                "SessionMiddleware, or call attribution.capture() yourself.",
                id="connectly_tracking.W003",
            )
        ]
    session = _position(_class("django.contrib.sessions.middleware.SessionMiddleware"))
    if session is None or session > ours:
        return [
            _error(
                "E031",
                "AttributionMiddleware must come after SessionMiddleware.",
                "Without a session an order is matched to its click by user alone.",
            )
        ]
    return []


def check_databases(**_: Any) -> list[CheckMessage]:
    """Our rows must commit with the order, also on SQLite."""
    found: list[CheckMessage] = []
    using = router.db_for_write(Conversion)
    if using != "default":
        found.append(
            checks.Warning(
                f"Conversions are written to the database {using!r}.",
                hint="They must be where the orders are, or an order could be "
                "committed without its conversion. Silence this check if they are.",
                id="connectly_tracking.W005",
            )
        )
    for alias in sorted({using, router.db_for_write(Attribution)} & set(connections)):
        connection = connections[alias]
        options = connection.settings_dict.get("OPTIONS", {})
        if connection.vendor == "sqlite" and options.get("transaction_mode") is None:
            found.append(
                checks.Warning(
                    f"The SQLite database {alias!r} begins transactions as readers.",
                    hint="Set OPTIONS['transaction_mode'] = 'IMMEDIATE', or orders "
                    "placed at the same time fail with 'database is locked'.",
                    id="connectly_tracking.W004",
                )
            )
    return found


def _missing_credentials() -> list[str]:
    return [
        f"CONNECTLY_TRACKING{path}[{key!r}]"
        for path, entry in _entries()
        for key in ("BUSINESS_ID", "API_KEY")
        if not entry.get(key)
    ]


def _wrong_credentials() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for path, entry in _entries():
        for key, validate in VALIDATORS.items():
            value = entry.get(key)
            # A callable may ask a vault; it is called when the key is needed.
            if not value or callable(value):
                continue
            try:
                validate(f"{path}[{key!r}]" if path else key, value)
            except ImproperlyConfigured as exc:
                hint = "Copy it from Connectly as it stands."
                found.append(_error(SETTING_IDS[key], str(exc), hint))
    return found


def _entries() -> list[tuple[str, Any]]:
    try:
        businesses = conf.BUSINESSES
    except ImproperlyConfigured:
        return []  # E001 says so
    return [
        ("" if alias == DEFAULT_BUSINESS else f"['BUSINESSES'][{alias!r}]", entry)
        for alias, entry in businesses.items()
    ]


def _fault_of(name: str) -> str:
    try:
        getattr(conf, name)
    except ImproperlyConfigured as exc:
        return str(exc)
    return ""


def _nearest(name: object) -> str:
    near = difflib.get_close_matches(str(name).upper(), NAMES, n=1)
    return f"Did you mean {near[0]!r}?" if near else "It has no effect; remove it."


def _position(middleware: type | None) -> int | None:
    for index, path in enumerate(settings.MIDDLEWARE):
        candidate = _class(path)
        if (
            middleware
            and isinstance(candidate, type)
            and issubclass(candidate, middleware)
        ):
            return index
    return None


def _class(path: str) -> Any:
    try:
        return import_string(path)
    except ImportError:
        return None  # Django says so itself


def _error(code: str, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"connectly_tracking.{code}")
