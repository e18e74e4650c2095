"""A customer who follows the ad's link into the shop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from ..attribution import recall
from ..conf import conf

if TYPE_CHECKING:
    from django.test import Client

    from ..models import Attribution

#: The five parameters, where a test does not say otherwise.
VALUES: Final = {
    "cnct_tracking_id": "track-1",
    "sendout_id": "send-1",
    "ctwa_clid": "clid-1",
    "ad_id": "120210",
    "attribution_source": "meta_ctwa",
}


def link_to(path: str, **parameters: str | None) -> str:
    """A path with the parameters in its query; one that is None is left out."""
    if unknown := parameters.keys() - VALUES.keys():
        raise TypeError(f"no such parameter: {', '.join(sorted(unknown))}")
    named = (VALUES | parameters).items()
    query = urlencode([pair for pair in named if pair[1] is not None], quote_via=quote)
    return f"{path}{'&' if '?' in path else '?'}{query}"


def land(
    client: Client,
    path: str = "/",
    *,
    follow: bool = False,
    **parameters: str | None,
) -> Attribution | None:
    """Have a client open the page by the ad's link. Returns the click that he holds.

    None only where ``CONSENT`` forbids it: otherwise a landing that leaves no click is
    a mistake, and raises AssertionError.
    """
    __tracebackhide__ = True
    url = link_to(path, **parameters)
    page = client.get(url, follow=follow)
    click = recall(page.wsgi_request)
    if click is None and conf.CONSENT is None:
        raise AssertionError(
            f"GET {url} was answered {page.status_code} and left no click.\n"
            "Is connectly_tracking.middleware.AttributionMiddleware in MIDDLEWARE, "
            "after SessionMiddleware? Does another middleware answer before it, say "
            "with a redirect to https (follow=True goes there)?"
        )
    return click
