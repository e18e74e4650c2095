"""Reads each page's query string, and the rest of a request only if that has a tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async

from . import attribution
from .api.landing import MARKER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest, HttpResponseBase


class AttributionMiddleware:
    """Captures the five landing parameters. Place it after ``SessionMiddleware``.

    A page without ``cnct_tracking_id=`` in its query string costs one substring search.
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
        if MARKER in request.META.get("QUERY_STRING", ""):
            attribution.land(request)
        return self.get_response(request)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        if MARKER in request.META.get("QUERY_STRING", ""):
            await sync_to_async(attribution.land)(request)
        response: HttpResponseBase = await self.get_response(request)  # type: ignore[misc]
        return response
