"""Asks the API once. Nothing is recorded, and no circuit hears of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..api.client import Client
from ..conf import conf
from .answer import findings_of
from .finding import Subject, found
from .guard import guarded
from .patience import TooLongError, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Finding
    from .trial import Trial

DEADLINE: Final = 10.0  # seconds for the whole exchange
IN_ALL: Final = 15.0  # with a name server that says nothing


def probe(trial: Trial) -> list[Finding]:
    """Send it, and say what the answer means."""
    findings = guarded(Subject.API, partial(_probe, trial))
    return [finding.masked([trial.business.api_key]) for finding in findings]


def _probe(trial: Trial) -> Iterator[Finding]:
    alias = trial.business.alias
    client = Client(
        base_url=conf.BASE_URL,
        business_id=trial.business.business_id,
        key=trial.business.api_key,
        connect_timeout=conf.CONNECT_TIMEOUT,
        read_timeout=conf.READ_TIMEOUT,
        deadline=min(conf.DEADLINE, DEADLINE),
        proxies=conf.PROXIES,
        ca_bundle=conf.CA_BUNDLE,
    )
    try:
        verdict = within(IN_ALL, partial(client.post, trial.body))
    except TooLongError as exc:
        text = f"{alias}: {exc}."
        yield found(Subject.API, "api_mute", text)
        return
    has_proxy = bool({urlsplit(client.url).scheme, "all"} & {*(client.proxies or {})})
    yield from findings_of(
        verdict,
        alias=alias,
        must_be_refused=trial.must_be_refused,
        has_proxy=has_proxy,
    )
