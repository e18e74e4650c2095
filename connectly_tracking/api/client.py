"""One POST to Connectly: a body and a key in, our verdict out. Never raises.

Knows no Django; usable from a bare REPL::

    url = "https://api.connectly.ai"
    client = Client(base_url=url, business_id="…", key=Secret("…"))
    client.post(body)
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Final

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from .. import __version__
from .body import url_of
from .transport import TimedAdapter, exchange
from .verdicts import Outcome, Verdict, judge

if TYPE_CHECKING:
    from .secret import Secret

MAX_ANSWER: Final = 64 * 1024  # bytes of an answer that are read

# Of the network. Whatever else is raised, our own code is at fault.
_TROUBLE: Final = (requests.RequestException, HTTPError, HTTPException, OSError)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_sessions = threading.local()


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One business at one address. All times are seconds.

    ``proxies`` and ``ca_bundle`` override what the environment says. Connections are
    kept per thread and shared between clients.
    """

    base_url: str
    business_id: str
    key: Secret
    connect_timeout: float = 3.05
    read_timeout: float = 10.0
    deadline: float = 20.0
    proxies: dict[str, str] | None = field(default=None, repr=False)
    ca_bundle: str | None = None
    url: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", url_of(self.base_url, self.business_id))
        # Looked up once: the environment does not change, and each look-up is slow.
        if self.proxies is None:
            object.__setattr__(self, "proxies", get_environ_proxies(self.url))
        if self.ca_bundle is None:
            bundle = os.environ.get("REQUESTS_CA_BUNDLE")
            bundle = bundle or os.environ.get("CURL_CA_BUNDLE") or None
            object.__setattr__(self, "ca_bundle", bundle)

    def post(self, body: str) -> Verdict:
        """Send one event and say what came of it."""
        exchange.begin(self.deadline)
        try:
            verdict = self._exchange(body)
        except _TROUBLE as exc:
            verdict = Verdict(
                outcome=Outcome.UNKNOWN if exchange.sent else Outcome.NOT_SENT,
                detail=_words(exc),
            )
        except Exception as exc:  # noqa: BLE001 - whatever it was, the row needs a verdict
            verdict = Verdict(outcome=Outcome.INTERNAL, detail=_words(exc))
        # Cleaned first: a key with a NUL between its letters would pass the mask.
        return replace(verdict, detail=self.key.mask(_clean(verdict.detail)))

    def _exchange(self, body: str) -> Verdict:
        with _session().post(
            self.url,
            data=body.encode(),
            headers={"X-API-KEY": self.key.reveal()},
            timeout=(self.connect_timeout, self.read_timeout),
            allow_redirects=False,  # requests would hand the key to the next host
            proxies=self.proxies,
            verify=self.ca_bundle or True,
            stream=True,
        ) as response:
            verdict = judge(
                response.status_code,
                _read(response),
                response.headers.get("Retry-After"),
            )
            return replace(verdict, date=response.headers.get("Date"))


def _read(response: requests.Response) -> bytes:
    answer = bytearray()
    try:
        # To the end, or the connection could not be used again.
        while len(answer) < MAX_ANSWER and (
            chunk := response.raw.read(MAX_ANSWER - len(answer), decode_content=False)
        ):
            answer += chunk
    except Exception:
        if 200 <= response.status_code < 300:
            raise  # only a whole answer confirms; elsewhere the status decides
    return bytes(answer)


def _words(exc: BaseException) -> str:
    while inner := exc.__cause__ or exc.__context__:
        exc = inner  # the first cause says what happened; the rest is wrapping
    return f"{type(exc).__name__}: {exc}"


def _clean(text: str) -> str:
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere: requests would read a redirect whole, and trust its address."""


def _session() -> requests.Session:
    session: requests.Session | None = getattr(_sessions, "session", None)
    # A forked child must not write to its parent's connection.
    if session is None or _sessions.pid != os.getpid():
        session = _Session()
        session.trust_env = (
            False  # no netrc; proxies and CA bundle come with the client
        )
        session.headers.clear()
        session.headers.update(
            {
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": f"django-connectly-tracking/{__version__}",
            }
        )
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        session.mount("https://", TimedAdapter())
        session.mount("http://", TimedAdapter())
        _sessions.session, _sessions.pid = session, os.getpid()
    return session
