"""Reads each page's URL, and the rest of a request only if the URL may have a tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async

from . import attribution
from .api.landing import may_be_tagged

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
        if may_be_tagged(request.META.get("QUERY_STRING", ""), request.path_info):
            attribution.land(request)
        return self.get_response(request)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        if may_be_tagged(request.META.get("QUERY_STRING", ""), request.path_info):
            await sync_to_async(attribution.land)(request)
        response: HttpResponseBase = await self.get_response(request)  # type: ignore[misc]
        return response
