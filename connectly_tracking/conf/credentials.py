"""What names a business at Connectly, and where it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import UUID

from ..api.secret import Secret
from .given import fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Business:
    """The credentials of one business. ``business_id``: a UUID in its usual form."""

    alias: str
    business_id: str
    api_key: Secret


def business_id_of(name: str, value: object) -> str:
    if not value:
        raise fault(name, "is missing; Connectly shows it beside the API key")
    try:
        return str(UUID(str(value)))
    except ValueError:
        raise fault(name, "must be a UUID") from None


def api_key_of(name: str, value: object) -> Secret:
    if callable(value):
        try:
            value = value()
        except Exception as exc:
            raise fault(name, f"could not be had: {type(exc).__name__}") from exc
    if not value:
        raise fault(name, "is missing; create one in Connectly under Settings, General")
    if not isinstance(value, str):
        raise fault(name, "must be a text")
    if value != value.strip():
        raise fault(name, "has white space around it; strip it where it is read")
    if not (value.isascii() and value.isprintable()):
        raise fault(name, "contains characters that no HTTP header can carry")
    return Secret(value)


def base_url_of(value: object) -> str:
    name = "BASE_URL"
    if not isinstance(value, str) or value != value.strip():
        raise fault(name, "must be a URL without white space around it")
    try:
        url = urlsplit(value)
        host, _port = url.hostname or "", url.port
    except ValueError:
        raise fault(name, "is no URL") from None
    if url.scheme not in {"https", "http"} or not host:
        raise fault(name, "must begin with https:// and name a host")
    if url.scheme == "http" and host not in LOOPBACK:
        raise fault(name, "must be https; plain http would show the key on the way")
    if url.username is not None or url.query or url.fragment:
        raise fault(name, "must not carry a user, a query or a fragment")
    if host.startswith(("169.254.", "fe80:")):
        raise fault(name, "must not be a link-local address")
    return value.rstrip("/")


#: Of the two credentials, for whoever has the value in hand.
VALIDATORS: Final[Mapping[str, Callable[[str, object], object]]] = {
    "BUSINESS_ID": business_id_of,
    "API_KEY": api_key_of,
}
