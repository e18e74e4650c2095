"""The capture endpoint, a mixin for product views, and a page for monitors."""

from __future__ import annotations

import json
import logging
import re
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.db import Error, connections, router
from django.db.transaction import non_atomic_requests
from django.http import HttpResponse, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.http import is_same_domain
from django.views.decorators.csrf import csrf_exempt

from . import attribution, reports
from .api.landing import is_tagged
from .guard import guarded
from .models import Conversion
from .signals import content_viewed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.http import HttpRequest, HttpResponseBase
    from django.views.generic import View

    from .events import ViewContent

    _Base = View
else:
    _Base = object

_View = TypeVar("_View", bound="Callable[..., HttpResponseBase]")

#: Bytes that the capture endpoint reads: an address, or five values of full length.
MAX_CAPTURE_BODY: Final = 32 * 1024

_ORIGIN: Final = re.compile(r"null|https?://[\w.:\[\]-]{1,255}", re.ASCII)

logger = logging.getLogger(__name__)


class ContentViewedMixin(_Base):
    """Sends `content_viewed` for each page that a class-based view shows.

    ::

        class ProductView(ContentViewedMixin, DetailView):
            model = Product

            def get_view_content(self):
                return ViewContent(content_ids=[self.object.sku])
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if any(iscoroutinefunction(vars(base).get("get")) for base in cls.__mro__):
            raise ImproperlyConfigured(
                f"{cls.__name__} is an async view, in which ContentViewedMixin does "
                "not work. Use await content_viewed.asend(...) instead."
            )

    def get_view_content(self) -> ViewContent:
        """Return what the page shows. Called after the page is made.

        An error here is logged and does not break the page, except under ``STRICT`` or
        if it comes from the database in a transaction.
        """
        raise NotImplementedError("Return a ViewContent in get_view_content().")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = super().get(request, *args, **kwargs)  # type: ignore[misc]
        if request.method != "GET" or response.status_code != 200:
            return response
        view = guarded(
            "view_not_recorded",
            self.get_view_content,
            savepoint="none",
            strict=Exception,
        )
        if view is not None:
            content_viewed.send(type(self), request=request, view=view)
        return response


def _without_transaction(view: _View) -> _View:
    """Let Django open none in any database: one that is down would fail before the
    view is called.
    """
    for alias in connections:
        view = non_atomic_requests(using=alias)(view)
    return view


@_without_transaction
def monitor(request: HttpRequest) -> JsonResponse:
    """``reports.health()`` as JSON; the status is 503 if something is wrong.

    If the database cannot be asked, ``ok`` and ``findings`` are all that there is, and
    say so. It is in no URLconf of ours: mount it behind a check of your own.
    """
    try:
        report = reports.health()
    except Error as exc:
        logger.warning("health_not_known error=%s", type(exc).__name__)
        report = {"ok": False, "findings": [_database_finding()]}
    response = JsonResponse(report, status=200 if report["ok"] else 503)
    response.headers["Cache-Control"] = "no-store"
    return response


def _database_finding() -> str:
    """Return the doctor's code for an error of the database."""
    connection = connections[router.db_for_write(Conversion)]
    is_there = connection.connection is not None and (
        connection.in_atomic_block or connection.is_usable()
    )
    return "database_refuses" if is_there else "database_unreachable"


@csrf_exempt  # a cached page has no token; the origin is checked instead
@_without_transaction  # the click can still be kept in the session
def capture_endpoint(request: HttpRequest) -> HttpResponse:
    """Capture a landing on a page that Django did not serve. Always answers 204.

    The body is the page's address or its query string, as in the browser, or the five
    parameters as JSON or as a form; at most 32 KiB. A browser must be on a page of this
    host or of ``CSRF_TRUSTED_ORIGINS``.
    """
    guarded("landing_not_kept", lambda: _capture_post(request), savepoint="none")
    response = HttpResponse(status=204, headers={"Cache-Control": "no-store"})
    attribution.set_cookie(request, response)
    return response


def _capture_post(request: HttpRequest) -> None:
    if request.method == "POST" and _is_trusted(request):
        with suppress(UnreadablePostError):
            _capture_body(request)


def _capture_body(request: HttpRequest) -> None:
    # Not `body` or `POST`: those would first store a large upload on disk.
    body = request.read(MAX_CAPTURE_BODY + 1)
    if len(body) > MAX_CAPTURE_BODY:
        logger.warning("landing_not_kept reason=body_too_long")
    elif request.content_type in {"application/json", "multipart/form-data"}:
        _capture_fields(request, body)
    else:
        attribution.land_from(request, body.decode("latin-1"))


def _capture_fields(request: HttpRequest, body: bytes) -> None:
    """Capture a JSON object or a form. If the tag is elsewhere, a log line says so."""
    is_json = request.content_type == "application/json"
    lost = "not_a_json_object" if is_json else "not_a_parameter"
    fields: object = None
    with suppress(
        MultiPartParserError,
        SuspiciousOperation,
        ValueError,  # not JSON
        RecursionError,  # JSON that is nested too deeply
    ):
        fields = json.loads(body) if is_json else _form(request, body)
    if isinstance(fields, dict):
        attribution.capture(request, fields)
        names = {name.removeprefix("amp;") for name in fields}
        lost = "" if "cnct_tracking_id" in names else "not_a_parameter"
    if lost and is_tagged(body.decode("latin-1")):
        logger.warning("tagged_link_lost reason=%s", lost)


def _form(request: HttpRequest, body: bytes) -> Mapping[str, object]:
    """Return the fields of a form, in UTF-8 whatever the client says; no files."""
    meta = {**request.META, "CONTENT_LENGTH": len(body)}
    fields, _files = MultiPartParser(meta, BytesIO(body), [], "utf-8").parse()
    return fields.dict()


def _is_trusted(request: HttpRequest) -> bool:
    """Return whether it comes from a trusted page, or not from a browser.

    A browser names the origin of a page on another host. Behind a proxy that ends TLS,
    a request may look like http although its page is https.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    try:
        sender = urlsplit(origin)
        schemes = {"https"} if request.is_secure() else {"https", "http"}
        if sender.scheme in schemes and origin.endswith(f"://{request.get_host()}"):
            return True
        for trusted in map(urlsplit, settings.CSRF_TRUSTED_ORIGINS):
            if sender.scheme == trusted.scheme and is_same_domain(
                sender.netloc, trusted.netloc.removeprefix("*")
            ):
                return True
    except (SuspiciousOperation, ValueError):
        pass
    # Its text comes from outside, so only a plain origin is written to the log.
    logger.warning(
        "landing_not_kept reason=foreign_origin origin=%s remedy='If this is your shop,"
        " add the origin to CSRF_TRUSTED_ORIGINS'",
        origin if _ORIGIN.fullmatch(origin) else "invalid",
    )
    return False
