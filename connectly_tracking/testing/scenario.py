"""The steps of a test: settings that point at a sandbox, a customer, and deliveries."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from django.core.exceptions import ImproperlyConfigured
from django.db import router

from .. import delivery
from ..api.secret import Secret
from ..attribution import recall
from ..attribution.clicks import landing_rows
from ..conf import VALIDATORS, conf
from ..models import Circuit, Conversion, DbNow, State
from ..sandbox import Sandbox
from ..wakeup import publisher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.test import Client

    from ..delivery import Tally
    from ..models import Attribution

    Settings = dict[str, Any]

#: Used if the settings have none: tests need no secret.
TEST_CREDENTIALS: Final = {
    "BUSINESS_ID": "00000000-0000-4000-8000-000000000000",
    "API_KEY": "made-up-for-tests",
}

#: The five parameters, unless a test gives its own.
TEST_CLICK: Final = {
    "cnct_tracking_id": "track-1",
    "sendout_id": "send-1",
    "ctwa_clid": "clid-1",
    "ad_id": "120210",
    "attribution_source": "meta_ctwa",
}


@contextmanager
def connected(configured: Mapping[str, Any]) -> Iterator[tuple[Sandbox, Settings]]:
    """A running sandbox, and the settings that make every business send to it.

    ``configured`` is the project's ``CONNECTLY_TRACKING``.
    """
    credentials = {name: _credential(name, configured) for name in TEST_CREDENTIALS}
    reset_process()
    try:
        with Sandbox(
            business_id=credentials["BUSINESS_ID"], api_key=credentials["API_KEY"]
        ) as sandbox:
            yield sandbox, {**configured, **_changes(sandbox, credentials, configured)}
    finally:
        reset_process()


def reset_process() -> None:
    """Forget what a process remembers between requests and deliveries."""
    landing_rows.reset()
    delivery.reset_memory()
    publisher.reset()


def _changes(
    sandbox: Sandbox, credentials: dict[str, str], configured: Mapping[str, Any]
) -> Settings:
    businesses = dict.fromkeys(configured.get("BUSINESSES") or {}, credentials)
    has_default = not businesses or any(name in configured for name in credentials)
    return {
        **(credentials if has_default else {}),
        "BUSINESSES": businesses,
        "BASE_URL": sandbox.url,
        "PROXIES": {},  # not those of the environment
        "SEND": True,
        "HOLD": 0,
    }


def _credential(name: str, configured: Mapping[str, Any]) -> str:
    """The project's own, if it is a valid string. A callable may ask a vault, so it is
    not called.
    """
    value = configured.get(name)
    if callable(value):
        return TEST_CREDENTIALS[name]
    try:
        valid = VALIDATORS[name](name, value)
    except ImproperlyConfigured:
        return TEST_CREDENTIALS[name]
    # As it is sent: an id of a business may be written in several ways.
    return valid.reveal() if isinstance(valid, Secret) else str(valid)


def tagged_link(path: str, **parameters: str | None) -> str:
    """The path with the parameters in its query; one that is None is left out."""
    if unknown := parameters.keys() - TEST_CLICK.keys():
        raise TypeError(f"unknown parameter: {', '.join(sorted(unknown))}")
    pairs = (TEST_CLICK | parameters).items()
    query = urlencode([pair for pair in pairs if pair[1] is not None], quote_via=quote)
    return f"{path}{'&' if '?' in path else '?'}{query}"


def follow_link(
    client: Client,
    path: str = "/",
    *,
    follow: bool = False,
    **parameters: str | None,
) -> Attribution | None:
    """Open a page by the ad's link. Returns the click that the visitor then has.

    Raises AssertionError if there is none, unless ``CONSENT`` is set: then it returns
    None.
    """
    __tracebackhide__ = True
    url = tagged_link(path, **parameters)
    page = client.get(url, follow=follow)
    click = recall(page.wsgi_request)
    if click is None and conf.CONSENT is None:
        raise AssertionError(
            f"GET {url} returned {page.status_code} and no click was kept.\n"
            "Is connectly_tracking.middleware.AttributionMiddleware in MIDDLEWARE, "
            "after SessionMiddleware? Does another middleware answer before it, for "
            "example with a redirect to https (follow=True follows it)?"
        )
    return click


def deliver_to(sandbox: Sandbox, *, later: bool = False) -> Tally:
    """Send the events that are due. Returns the counts by state.

    ``later`` acts as if time had passed: events that are held, wait for their next
    attempt or are paused are sent, too. An event that fails then waits again.
    """
    __tracebackhide__ = True
    if sandbox.url != conf.BASE_URL:
        raise AssertionError(
            f"A test must not send to {conf.BASE_URL}: CONNECTLY_TRACKING was replaced "
            "after the sandbox was set up. Extend it instead: "
            "{**settings.CONNECTLY_TRACKING, …}"
        )
    if later:
        using = router.db_for_write(Conversion)
        paused = Circuit.objects.using(using).exclude(paused_until=None)
        paused.update(paused_until=DbNow())
        waiting = Conversion.objects.using(using).filter(state=State.PENDING)
        waiting.filter(due_at__gt=DbNow()).update(due_at=DbNow())
    return delivery.deliver()
