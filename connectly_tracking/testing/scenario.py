"""The steps of a test: a customer follows an ad's link, and events are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from django.db import router

from .. import delivery
from ..attribution import recall
from ..conf import conf
from ..models import Circuit, Conversion, DbNow, State

if TYPE_CHECKING:
    from django.test import Client

    from ..delivery import Tally
    from ..models import Attribution
    from ..sandbox import Sandbox

#: The five parameters, unless a test gives its own.
TEST_CLICK: Final = {
    "cnct_tracking_id": "track-1",
    "sendout_id": "send-1",
    "ctwa_clid": "clid-1",
    "ad_id": "120210",
    "attribution_source": "meta_ctwa",
}


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
