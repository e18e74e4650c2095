"""Checks of ``CONNECTLY_TRACKING``: each setting, the credentials, and their limits."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _

from ..conf import DEFAULT_BUSINESS, MAIL_ADMINS, NAMES, VALIDATORS, conf, setting_path
from ..models import greatest_age

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.core.checks import CheckMessage

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
    "CLICK_COOKIE": "E028",
    "ALERTS": "E029",
    "OSCAR_PURCHASE_STATUS": "E040",
    "OSCAR_CANCEL_STATUSES": "E041",
}


def check_settings(**_kwargs: Any) -> list[CheckMessage]:
    """Check each setting by itself, then those that depend on each other."""
    try:
        raw = conf.raw
    except ImproperlyConfigured as exc:
        return [
            checks.Error(
                str(exc),
                hint=_("Write %(example)s.")
                % {"example": 'CONNECTLY_TRACKING = {"BUSINESS_ID": …, "API_KEY": …}'},
                id="connectly_tracking.E000",
            )
        ]
    return [*_unknown(raw), *_invalid()] or [*_contradictory(), *_unheard()]


def _unknown(raw: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for name in raw:
        if name not in NAMES:
            near = difflib.get_close_matches(str(name).upper(), NAMES, n=1)
            yield checks.Warning(
                _("CONNECTLY_TRACKING has no setting %(name)s.") % {"name": repr(name)},
                hint=_("Did you mean '%(name)s'?") % {"name": near[0]}
                if near
                else _("It has no effect. Remove it."),
                id="connectly_tracking.W002",
            )


def _invalid() -> Iterator[CheckMessage]:
    for name, code in SETTING_IDS.items():
        if name in VALIDATORS:
            continue  # a credential; check_credentials does not call a callable
        try:
            getattr(conf, name)
        except ImproperlyConfigured as exc:
            yield checks.Error(
                str(exc),
                hint=_(
                    "Correct it, or remove it to use the default. Each setting is "
                    "described in docs/reference/settings.md."
                ),
                id=f"connectly_tracking.{code}",
            )


def _contradictory() -> Iterator[CheckMessage]:
    if DEFAULT_BUSINESS not in conf.BUSINESSES and conf.BUSINESS_RESOLVER is None:
        yield checks.Warning(
            _("There is neither a default business nor a BUSINESS_RESOLVER."),
            hint=_(
                "Set BUSINESS_RESOLVER to a function (request, order) -> alias, or "
                "pass business=… with each order. An order without a business is "
                "recorded as invalid and not sent."
            ),
            id="connectly_tracking.W006",
        )
    if conf.LEASE < 2 * conf.DEADLINE:
        yield checks.Error(
            _(
                "CONNECTLY_TRACKING['LEASE'] (%(lease)s s) is less than twice DEADLINE "
                "(%(deadline)s s)."
            )
            % {"lease": f"{conf.LEASE:g}", "deadline": f"{conf.DEADLINE:g}"},
            hint=_(
                "Set LEASE to %(least)s seconds or more. If a lease ends before its "
                "request, another worker sends the event again."
            )
            % {"least": f"{2 * conf.DEADLINE:g}"},
            id="connectly_tracking.E030",
        )
    age = greatest_age().total_seconds()
    if age <= conf.HOLD:
        yield checks.Error(
            (
                _(
                    "CONNECTLY_TRACKING['HOLD'] (%(hold)s s) is not less than "
                    "MAX_EVENT_AGE (%(age)s s)."
                )
                if conf.MAX_EVENT_AGE
                else _(
                    "CONNECTLY_TRACKING['HOLD'] (%(hold)s s) is not less than the 30 "
                    "days (%(age)s s) after which an order expires."
                )
            )
            % {"hold": f"{conf.HOLD:g}", "age": f"{age:g}"},
            hint=_(
                "Set HOLD to less than %(age)s seconds. Otherwise every order "
                "expires before it may be sent."
            )
            % {"age": f"{age:g}"},
            id="connectly_tracking.E032",
        )


def _unheard() -> Iterator[CheckMessage]:
    if conf.ALERTS == MAIL_ADMINS and not settings.ADMINS:
        yield checks.Warning(
            _("%(name)s is 'mail_admins', but ADMINS is empty: no mail is sent.")
            % {"name": setting_path("ALERTS")},
            hint=_(
                "Add the addresses to ADMINS, or set ALERTS to a function that tells "
                "the right person."
            ),
            id="connectly_tracking.W018",
        )


def check_credentials(**_kwargs: Any) -> list[CheckMessage]:
    """Check the credentials that are given. Missing ones only stop the sending."""
    return [
        checks.Warning(
            _("%(name)s is missing: orders are recorded, but not sent.")
            % {"name": setting_path(name)},
            hint=_(
                "Read it from the environment, for example %(example)s. Never write "
                "the key into the code."
            )
            % {"example": f'os.environ["CONNECTLY_{name.rpartition(".")[2]}"]'},
            id="connectly_tracking.W001",
        )
        for name, value in _credentials()
        if not value
    ] + list(_wrong_credentials())


def check_credentials_deployed(**_kwargs: Any) -> list[CheckMessage]:
    """With ``check --deploy``, missing credentials are errors."""
    return [
        checks.Error(
            _("%(name)s is missing.") % {"name": setting_path(name)},
            hint=_(
                "Set it in the environment of the deployed shop. Connectly shows it "
                "under Settings, General, API Key."
            ),
            id="connectly_tracking.E022",
        )
        for name, value in _credentials()
        if not value
    ]


def _wrong_credentials() -> Iterator[CheckMessage]:
    for name, value in _credentials():
        key = name.rpartition(".")[2]
        # A callable may ask a vault, which must not delay `runserver` or `migrate`.
        if not value or (key == "API_KEY" and callable(value)):
            continue
        try:
            VALIDATORS[key](name, value)
        except ImproperlyConfigured as exc:
            yield checks.Error(
                str(exc),
                hint=_("Copy it unchanged from Connectly: Settings, General, API Key."),
                id=f"connectly_tracking.{SETTING_IDS[key]}",
            )


def _credentials() -> Iterator[tuple[str, object]]:
    """Yield the name and the value of each credential; a dot leads into BUSINESSES."""
    try:
        businesses = conf.BUSINESSES
    except ImproperlyConfigured:
        return  # check_settings reports it
    for alias, entry in businesses.items():
        prefix = "" if alias == DEFAULT_BUSINESS else f"BUSINESSES.{alias}."
        for key in VALIDATORS:
            yield f"{prefix}{key}", entry.get(key)
