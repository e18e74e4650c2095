"""The click's own cookie: it carries the id of a stored click past the session's end.

A session ends with a logout, is saved by two requests at once, or is not shown by the
browser. This cookie is set once, and no shop code writes it. Its id is signed, as a
token's is: who carries it cannot change it.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.crypto import constant_time_compare, salted_hmac

from ..conf import conf
from ..guard import tolerated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest, HttpResponseBase

#: Another salt than the token's: a token is not a cookie, and a cookie is not a token.
_SALT: Final = "connectly_tracking.attribution.cookie"
#: The request's attribute: the value to set on its response; "": delete the cookie;
#: None: leave it as it is.
COOKIE_NOTE: Final = "_connectly_click_cookie"
#: Browsers keep no cookie for longer.
COOKIE_AGE: Final = timedelta(days=400)

# 45 characters of [A-Za-z0-9_-]: a version, the row's id and a signature. It tells
# nothing about the customer.
_VERSION: Final = "1"


def uses_cookie() -> bool:
    """Whether stored clicks have a cookie."""
    return _name() is not None


def read_cookie(request: HttpRequest, *, known: UUID | None = None) -> UUID | None:
    """Return the click's id; None without a cookie, or if we did not sign it.

    A cookie that this request's own answer sets counts already.

    The signature of the click that is ``known`` from the session is not checked.
    """
    # What this request's own answer will set, or delete, comes first.
    value = getattr(unwrapped(request), COOKIE_NOTE, None)
    if value is None:
        name = _name() if request.COOKIES else None
        value = request.COOKIES.get(name) if name else None
    if not value:
        return None
    if known is not None and value[:-22] == _VERSION + _base64(known.bytes):
        return known
    with suppress(ValueError):
        return read_id(value, salt=_SALT)
    return None


def note_cookie(request: HttpRequest, click_id: UUID) -> None:
    """Set the cookie on this request's response. The click must be stored."""
    _note(request, sign_id(click_id, salt=_SALT))


def note_no_cookie(request: HttpRequest) -> None:
    """Delete the cookie on this request's response."""
    _note(request, "")


def note_landing(request: HttpRequest) -> None:
    """Keep this request's response out of page caches, whatever becomes of the click.

    The next visitor with the same link would be served without being seen, or would get
    this one's cookies.
    """
    _note(request, None)


def set_cookie(request: HttpRequest, response: HttpResponseBase) -> None:
    """Do what was noted on the request, in `COOKIE_NOTE`. Never raises."""
    if not hasattr(request, COOKIE_NOTE):
        return
    with tolerated("cookie_not_set"):
        if "no-store" not in response.get("Cache-Control", ""):
            patch_cache_control(response, private=True)
        value: str | None = getattr(request, COOKIE_NOTE)
        name = None if value is None else _name()
        if value is None or name is None or value == request.COOKIES.get(name, ""):
            return
        place: dict[str, Any] = {
            "path": settings.SESSION_COOKIE_PATH,
            "domain": settings.SESSION_COOKIE_DOMAIN,
            "samesite": "Lax",  # Strict is withheld on the way back from a payment
        }
        if value:
            response.set_cookie(
                name,
                value,
                max_age=min(conf.ATTRIBUTION_WINDOW or COOKIE_AGE, COOKIE_AGE),
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                **place,
            )
        else:
            response.delete_cookie(name, **place)
        patch_vary_headers(response, ("Cookie",))


def unwrapped(request: HttpRequest) -> HttpRequest:
    """Return the request that the middleware has: REST framework's own wraps it."""
    inner: HttpRequest = getattr(request, "_request", request)
    return inner


def _note(request: HttpRequest, value: str | None) -> None:
    setattr(unwrapped(request), COOKIE_NOTE, value)


def _name() -> str | None:
    """None if the setting is wrong, which a check reports: orders must go on."""
    try:
        return conf.CLICK_COOKIE
    except ImproperlyConfigured:
        return None


def sign_id(click_id: UUID, *, salt: str) -> str:
    """Return the id as a signed text of 45 characters of ``[A-Za-z0-9_-]``."""
    return _signed(_VERSION + _base64(click_id.bytes), salt, settings.SECRET_KEY)


def read_id(text: str, *, salt: str) -> UUID:
    """Return the id. Raises ValueError unless `sign_id` made the text by this salt."""
    keys: Iterable[str | bytes] = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    for key in keys:
        if constant_time_compare(text, _signed(text[:-22], salt, key)):
            return UUID(bytes=base64.urlsafe_b64decode(f"{text[1:-22]}=="))
    raise ValueError("not signed here")


def _signed(text: str, salt: str, key: str | bytes) -> str:
    digest = salted_hmac(salt, text, secret=key, algorithm="sha256").digest()
    return text + _base64(digest[:16])


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
