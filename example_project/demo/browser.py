from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import requests
from django.core.management.base import CommandError

if TYPE_CHECKING:
    from requests.cookies import RequestsCookieJar

TIMEOUT = 10.0  # seconds
PHONE = (
    "Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/130.0.0.0 Mobile Safari/537.36"
)


class Browser:
    """A session with servers on this machine; an error ends the demo."""

    def __init__(self) -> None:
        self._session = requests.Session()
        # A proxy cannot reach this machine.
        self._session.trust_env = False
        self._session.headers["User-Agent"] = PHONE

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._session.close()

    @property
    def cookies(self) -> RequestsCookieJar:
        return self._session.cookies

    def get(self, url: str) -> requests.Response:
        return self._visit("GET", url)

    def post(self, url: str, form: dict[str, Any]) -> requests.Response:
        return self._visit("POST", url, data=form)

    def _visit(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        try:
            response = self._session.request(method, url, timeout=TIMEOUT, **kwargs)
            response.raise_for_status()
        except requests.RequestException as exc:
            raise CommandError(f"{method} {url} failed: {exc}") from exc
        return response
