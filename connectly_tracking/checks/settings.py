"""Each setting of ours, and those that must fit each other."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured

from ..conf import DEFAULT_BUSINESS, NAMES, conf
from .message import error, warning

if TYPE_CHECKING:
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
    "OSCAR_PURCHASE_STATUS": "E040",
    "OSCAR_CANCEL_STATUSES": "E041",
}


def check_settings(**_: Any) -> list[CheckMessage]:
    """Each setting by itself, then those that must fit each other."""
    try:
        given = conf.raw
    except ImproperlyConfigured as exc:
        return [error("E000", str(exc), "Write CONNECTLY_TRACKING = {…}.")]
    found: list[CheckMessage] = [
        warning(
            "W002",
            f"CONNECTLY_TRACKING has no setting {name!r}.",
            _nearest(name),
        )
        for name in given
        if name not in NAMES
    ]
    for name in NAMES:
        if name not in {"BUSINESS_ID", "API_KEY"} and (fault := _fault_of(name)):
            hint = "See docs/settings.md for what it takes."
            found.append(error(SETTING_IDS[name], fault, hint))
    if found:
        return found
    if DEFAULT_BUSINESS not in conf.BUSINESSES and conf.BUSINESS_RESOLVER is None:
        found.append(
            warning(
                "W006",
                "There is neither a default business nor a BUSINESS_RESOLVER.",
                "Orders must then name their business, or are refused.",
            )
        )
    if conf.LEASE < 2 * conf.DEADLINE:
        found.append(
            error(
                "E030",
                f"CONNECTLY_TRACKING['LEASE'] ({conf.LEASE:g} s) is less than twice "
                f"DEADLINE ({conf.DEADLINE:g} s).",
                "A row's lease must outlive its request, or it is sent twice.",
            )
        )
    age = conf.MAX_EVENT_AGE
    if age is not None and age.total_seconds() <= conf.HOLD:
        found.append(
            error(
                "E032",
                f"CONNECTLY_TRACKING['HOLD'] ({conf.HOLD:g} s) is not less than "
                f"MAX_EVENT_AGE ({age.total_seconds():g} s).",
                "Each order would expire before it may go; hold for less.",
            )
        )
    return found


def _fault_of(name: str) -> str:
    try:
        getattr(conf, name)
    except ImproperlyConfigured as exc:
        return str(exc)
    return ""


def _nearest(name: object) -> str:
    near = difflib.get_close_matches(str(name).upper(), NAMES, n=1)
    return f"Did you mean {near[0]!r}?" if near else "It has no effect; remove it."
