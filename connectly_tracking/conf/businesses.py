"""The settings of each business, and the address of the API.

A debug page shows the variables of every function that an exception has left. No
function here raises one while it has the key, or settings with the key, in a variable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from ..api.host import is_link_local, is_plain_host
from ..api.secret import Secret
from .reader import SettingsReader, improper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django_stubs_ext import StrOrPromise

DEFAULT_BUSINESS: Final = "default"
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_URL_SIGNS: Final = re.compile(r"[!-~]+")
_ALIAS: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Business:
    """The credentials of one business. ``business_id``: a UUID in its usual form."""

    alias: str
    business_id: str
    api_key: Secret


class BusinessSettings(SettingsReader):
    """The businesses that the project named, and their credentials."""

    @property
    def BUSINESSES(self) -> Mapping[str, Mapping[str, object]]:
        """Every business by its alias, including the default one if it is named."""
        if problem := _problem_of(self.raw.get("BUSINESSES", {})):
            raise improper("BUSINESSES", problem)
        named: dict[str, Any] = self.raw.get("BUSINESSES", {})
        own = {name: self.raw.get(name) for name in VALIDATORS}
        # Also without its values: a deployment may lack them, and its orders are kept.
        is_named = any(name in self.raw for name in VALIDATORS)
        return ({DEFAULT_BUSINESS: own} if is_named or not named else {}) | named

    @property
    def BUSINESS_ID(self) -> str:
        """The default business's id at Connectly, a UUID."""
        return valid_business_id("BUSINESS_ID", self.raw.get("BUSINESS_ID"))

    @property
    def API_KEY(self) -> Secret:
        """The default business's key."""
        return valid_api_key("API_KEY", self.raw.get("API_KEY"))

    def business(self, alias: str) -> Business:
        """Return one business's credentials; a callable ``API_KEY`` is called.

        Raises ImproperlyConfigured if one is missing or wrong.
        """
        return Business(
            alias=alias,
            business_id=self.business_id(alias),
            api_key=valid_api_key(*self._credential(alias, "API_KEY")),
        )

    def business_id(self, alias: str) -> str:
        """Return one business's id. Raises ImproperlyConfigured without it."""
        return valid_business_id(*self._credential(alias, "BUSINESS_ID"))

    def credentials_problem(self, alias: str) -> str:
        """Return why nothing can be sent for a business, or an empty string.

        A callable ``API_KEY`` counts as a key and is never called, so that a page does
        not wait for a vault.
        """
        try:
            self.business_id(alias)
            if not callable(self._credential(alias, "API_KEY")[1]):
                valid_api_key(*self._credential(alias, "API_KEY"))
        except ImproperlyConfigured as exc:
            return str(exc)
        return ""

    def _credential(self, alias: str, name: str) -> tuple[str, object]:
        """Return a business's setting: its name in messages, and its value."""
        if alias not in self.BUSINESSES:
            raise improper("BUSINESSES", _("has no business '{alias}'"), alias=alias)
        prefix = "" if alias == DEFAULT_BUSINESS else f"BUSINESSES.{alias}."
        return f"{prefix}{name}", self.BUSINESSES[alias].get(name)


def _problem_of(named: object) -> StrOrPromise:
    """Return what is wrong with BUSINESSES, or an empty string."""
    if not isinstance(named, dict) or not all(
        isinstance(alias, str) and _ALIAS.fullmatch(alias) and isinstance(entry, dict)
        for alias, entry in named.items()
    ):
        return _('must look like {"br": {"BUSINESS_ID": …, …}}')
    if DEFAULT_BUSINESS in named:
        return _("must not contain 'default'; use BUSINESS_ID and API_KEY for it")
    # For the collations of MySQL they would be one business.
    if len({alias.lower() for alias in (DEFAULT_BUSINESS, *named)}) <= len(named):
        return _(
            "must not contain aliases that differ from each other or from 'default' "
            "only in upper and lower case"
        )
    return ""


def valid_business_id(name: str, value: object) -> str:
    if not value:
        raise improper(name, _("is missing; Connectly shows it next to the API key"))
    try:
        return str(UUID(str(value)))
    except ValueError:
        del value  # it may be the key, in the wrong place
        raise improper(name, _("must be a UUID")) from None


def valid_api_key(name: str, value: object) -> Secret:
    """Return the key; a callable is called for it."""
    if callable(value):
        try:
            value = value()
        except Exception as exc:
            raise improper(
                name,
                _("could not be read: its callable raised {error}"),
                error=type(exc).__name__,
            ) from exc
    if problem := _problem_of_key(value):
        del value
        raise improper(name, problem)
    return Secret(str(value))


def _problem_of_key(value: object) -> StrOrPromise:
    if not value:
        return _("is missing; create one in Connectly under Settings, General")
    if not isinstance(value, str):
        return _("must be a string")
    if value != value.strip():
        return _("must not begin or end with white space")
    if not (value.isascii() and value.isprintable()):
        return _("must contain only printable ASCII characters")
    return ""


def valid_base_url(name: str, value: object) -> str:
    if not isinstance(value, str) or not _URL_SIGNS.fullmatch(value):
        problem = _("must be a URL of printable ASCII characters, without spaces")
        raise improper(name, problem)
    try:
        url = urlsplit(value)
        host, port = url.hostname or "", url.port
    except ValueError:
        raise improper(name, _("must be a valid URL")) from None
    if url.scheme not in {"https", "http"} or not host:
        raise improper(name, _("must begin with https:// and contain a host name"))
    if url.scheme == "http" and host not in LOOPBACK:
        raise improper(name, _("must use https; http would expose the API key"))
    if url.username is not None or "?" in value or "#" in value:
        raise improper(name, _("must not contain a user, a query or a fragment"))
    if is_link_local(host):
        raise improper(name, _("must not be a link-local address"))
    if not is_plain_host(host) or port == 0:
        raise improper(name, _("must contain a valid host name, address and port"))
    return value.rstrip("/")


#: For code that has a credential's value already.
VALIDATORS: Final[Mapping[str, Callable[[str, object], object]]] = {
    "BUSINESS_ID": valid_business_id,
    "API_KEY": valid_api_key,
}
