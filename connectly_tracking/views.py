"""The capture endpoint, and a mixin for the shop's product views."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError
from django.http import HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.utils.http import is_same_domain
from django.views.decorators.csrf import csrf_exempt

from . import attribution
from .conf import conf
from .signals import content_viewed

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase
    from django.views.generic import View

    from .events import ViewContent

    _Base = View
else:
    _Base = object

logger = logging.getLogger(__name__)


class ContentViewedMixin(_Base):
    """Sends `content_viewed` for each page that a class-based view shows.

    ::

        class ProductView(ContentViewedMixin, DetailView):
            model = Product

            def get_view_content(self):
                return ViewContent(content_ids=[self.object.sku])
    """

    def get_view_content(self) -> ViewContent:
        """Return what the page shows. Called after the page is made.

        An error here is logged and does not break the page, except under ``STRICT`` or
        if it comes from the database.
        """
        raise NotImplementedError("Return a ViewContent in get_view_content().")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = super().get(request, *args, **kwargs)  # type: ignore[misc]
        if request.method != "GET" or response.status_code != 200:
            return response
        view = None
        try:
            view = self.get_view_content()
        except Exception as exc:
            # The database may have ended the page's own transaction.
            if conf.is_strict() or isinstance(exc, DatabaseError):
                raise
            logger.error("view_not_recorded error=%s", type(exc).__name__)
        if view is not None:
            content_viewed.send(type(self), request=request, view=view)
        return response


@csrf_exempt  # a cached page has no token; the origin is checked instead
def capture_endpoint(request: HttpRequest) -> HttpResponse:
    """Capture a landing on a page that Django did not serve. Always answers 204.

    The body is the page's query string as it is in the URL, or the five parameters as
    JSON or as a form. A browser must be on a page of this host or of
    ``CSRF_TRUSTED_ORIGINS``.
    """
    if request.method == "POST" and _is_trusted(request):
        with suppress(
            UnreadablePostError,
            MultiPartParserError,
            RequestDataTooBig,
            SuspiciousOperation,
            ValueError,  # not JSON
            RecursionError,  # JSON that is nested too deeply
        ):
            _capture_body(request)
    return HttpResponse(status=204, headers={"Cache-Control": "no-store"})


def _capture_body(request: HttpRequest) -> None:
    match request.content_type:
        case "application/json":
            params = json.loads(request.body)
            if isinstance(params, dict):
                attribution.capture(request, params)
        case "multipart/form-data":
            attribution.capture(request, request.POST.dict())
        case _:
            attribution.land_from(request, request.body.decode("latin-1"))


def _is_trusted(request: HttpRequest) -> bool:
    """Whether it comes from a trusted page, or not from a browser: a browser names the
    origin of a page on another host.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    scheme = "https" if request.is_secure() else "http"
    try:
        if origin == f"{scheme}://{request.get_host()}":
            return True
        sender = urlsplit(origin)
    except (SuspiciousOperation, ValueError):
        return False
    return any(
        sender.scheme == trusted.scheme
        and is_same_domain(sender.netloc, trusted.netloc.removeprefix("*"))
        for trusted in map(urlsplit, settings.CSRF_TRUSTED_ORIGINS)
    )
