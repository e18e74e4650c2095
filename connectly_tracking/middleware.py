"""Reads each page's URL, and the rest of a request only if the URL may have a tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async

from . import attribution
from .api.landing import MARKER
from .attribution.cookie import COOKIE_NOTE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest, HttpResponseBase


class AttributionMiddleware:
    """Captures the five landing parameters. Place it after ``SessionMiddleware``.

    A page without ``cnct`` in its URL costs two substring searches.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(
        self, request: HttpRequest
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self.__acall__(request)
        # Written out, here and below: two more calls would take as long as all this.
        query = request.META.get("QUERY_STRING", "")
        if MARKER in query.lower() or MARKER in request.path_info.lower():
            attribution.land(request)
        response = self.get_response(request)
        if hasattr(request, COOKIE_NOTE):
            attribution.set_cookie(request, response)
        return response

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        query = request.META.get("QUERY_STRING", "")
        if MARKER in query.lower() or MARKER in request.path_info.lower():
            await sync_to_async(attribution.land)(request)
        response: HttpResponseBase = await self.get_response(request)  # type: ignore[misc]
        if hasattr(request, COOKIE_NOTE):
            attribution.set_cookie(request, response)
        return response
