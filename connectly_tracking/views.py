"""Views, and what a shop mixes into its own."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
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

    Base = View
else:
    Base = object

logger = logging.getLogger(__name__)

#: What cannot be read is no landing.
_UNREADABLE: Final = (
    UnreadablePostError,
    MultiPartParserError,
    RequestDataTooBig,
    SuspiciousOperation,
)


class ContentViewedMixin(Base):
    """Sends `content_viewed` for each page that a class-based view shows.

    ::

        class ProductView(ContentViewedMixin, DetailView):
            model = Product

            def get_view_content(self):
                return ViewContent(content_ids=[self.object.sku])
    """

    def get_view_content(self) -> ViewContent:
        """What is looked at. Called after the page was made, which an error here does
        not cost: it is logged, and raised only under ``STRICT``, or the database's.
        """
        raise NotImplementedError("Return a ViewContent in get_view_content().")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = super().get(request, *args, **kwargs)  # type: ignore[misc]
        if request.method == "GET" and response.status_code == 200:
            view = self._view_content()
            if view is not None:
                content_viewed.send(type(self), request=request, view=view)
        return response

    def _view_content(self) -> ViewContent | None:
        try:
            return self.get_view_content()
        except Exception as exc:
            # The database may have ended the page's own transaction.
            if conf.is_strict() or isinstance(exc, DatabaseError):
                raise
            logger.error("view_not_recorded error=%s", type(exc).__name__)
            return None


@csrf_exempt  # a page from a cache has no token; the origin is checked instead
def capture(request: HttpRequest) -> HttpResponse:
    """Keep a landing on a page that Django did not serve: 204, whatever comes.

    The body is the page's query string as it stood, or the five parameters as JSON or
    as a form. Of browsers, only pages of this host and of ``CSRF_TRUSTED_ORIGINS`` are
    listened to.
    """
    if request.method == "POST" and _is_ours(request):
        with suppress(*_UNREADABLE):
            _keep(request)
    return HttpResponse(status=204, headers={"Cache-Control": "no-store"})


def _keep(request: HttpRequest) -> None:
    match request.content_type:
        case "application/json":
            try:
                given = json.loads(request.body)
            except (ValueError, RecursionError):
                return
            if isinstance(given, dict):
                attribution.capture(request, given)
        case "multipart/form-data":
            attribution.capture(request, request.POST.dict())
        case _:
            attribution.land_from(request, request.body.decode("latin-1"))


def _is_ours(request: HttpRequest) -> bool:
    """Whether a page of ours sent it, or none: a browser names another's origin."""
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    scheme = "https" if request.is_secure() else "http"
    try:
        if origin == f"{scheme}://{request.get_host()}":
            return True
        given = urlsplit(origin)
    except (SuspiciousOperation, ValueError):
        return False
    for trusted in map(urlsplit, settings.CSRF_TRUSTED_ORIGINS):
        if given.scheme == trusted.scheme and (
            given.netloc == trusted.netloc
            or (
                trusted.netloc.startswith("*.")
                and is_same_domain(given.netloc, trusted.netloc[1:])
            )
        ):
            return True
    return False
