"""One POST to Connectly: a body and a key in, a verdict out. Never raises.

Knows no Django; usable from a bare REPL::

    url = "https://api.connectly.ai"
    client = Client(base_url=url, business_id="…", key=Secret("…"))
    client.post(body)
"""

from __future__ import annotations

import os
import re
import threading
import zlib
from dataclasses import dataclass, field, replace
from http.client import HTTPException, InvalidURL
from ssl import SSLError
from typing import TYPE_CHECKING, Final

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError, ProxyError

from .. import __version__
from ..exceptions import causes
from .host import is_loopback_url
from .payload import events_url
from .transport import TimedAdapter, current_request
from .verdicts import Outcome, Verdict, verdict_of

if TYPE_CHECKING:
    from urllib3 import HTTPResponse

    from .secret import Secret

MAX_ANSWER: Final = 64 * 1024  # bytes of an answer that are read
MAX_ENCODING: Final = 100  # characters of the name of an encoding that is shown

# Any other exception is an error in this app. Those of requests are OSErrors.
_NETWORK_ERRORS: Final = (HTTPError, HTTPException, OSError)
_QUOTE: Final = re.compile(r"""['"]|:\s""")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
#: Headers that name one request, such as ``x-fb-trace-id`` and ``traceparent``.
_TRACE_ID: Final = re.compile(
    r"traceparent|(x-([a-z0-9-]+-)?)?(trace|request|correlation)-?id|x-[a-z0-9-]+-(trace)?id"
    r"|cnt-?trace-?id|fbtrace_id|cf-ray",
    re.I,
)
MAX_TRACE_IDS: Final = 8
MAX_TRACE_ID: Final = 200  # characters

_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": f"django-connectly-tracking/{__version__}",
}
_adapters = threading.local()


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One business at one address. All times are seconds.

    ``proxies`` and ``ca_bundle`` override the environment's; a request to this machine
    never goes through a proxy. Connections are kept per thread and shared between
    clients.
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
    #: All of a request but its body. Made once, as requests takes longer to prepare a
    #: request than to send it.
    _request: requests.PreparedRequest | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", events_url(self.base_url, self.business_id))
        # A proxy would read the key: a request to loopback is not encrypted.
        if is_loopback_url(self.url):
            object.__setattr__(self, "proxies", {})
        # Read once: the environment does not change, and reading it is slow.
        if self.proxies is None:
            object.__setattr__(self, "proxies", get_environ_proxies(self.url))
        if self.ca_bundle is None:
            bundle = os.environ.get("REQUESTS_CA_BUNDLE")
            bundle = bundle or os.environ.get("CURL_CA_BUNDLE") or None
            object.__setattr__(self, "ca_bundle", bundle)

    def post(self, body: str) -> Verdict:
        """Send one event and return the verdict."""
        current_request.begin(self.deadline)
        try:
            verdict = self._post(body)
        except Exception as exc:  # noqa: BLE001 - the row needs a verdict in any case
            outcome = Outcome.UNKNOWN if current_request.sent else Outcome.NOT_SENT
            if not isinstance(exc, _NETWORK_ERRORS):
                outcome = Outcome.INTERNAL
            verdict = Verdict(outcome=outcome, detail=_describe(causes(exc)))
        if not verdict.detail:
            return verdict
        # Control characters go first: a key with a NUL inside would escape the mask.
        detail = _CONTROL.sub("", verdict.detail.replace("\r\n", "\n"))
        return replace(verdict, detail=self.key.mask(detail))

    def _post(self, body: str) -> Verdict:
        # The adapter follows no redirect, which would take the key to the next host,
        # and it reads no netrc and keeps no cookie.
        with _adapter().exchange(
            self._prepared(body.encode()),
            timeout=(self.connect_timeout, self.read_timeout),
            proxies=self.proxies,
            verify=self.ca_bundle or True,
        ) as answer:
            verdict = verdict_of(
                answer.status,
                _read_body(answer),
                answer.headers.get("Retry-After"),
                answer.headers.get("Date"),
            )
            if not (trace_ids := _trace_ids(answer)):
                return verdict
            parts = [verdict.detail, *trace_ids] if verdict.detail else trace_ids
            return replace(verdict, detail="\n".join(parts))

    def _prepared(self, body: bytes) -> requests.PreparedRequest:
        model = self._request
        if model is None:
            headers = _HEADERS | {"X-API-KEY": self.key.reveal()}
            model = requests.Request("POST", self.url, headers).prepare()
            object.__setattr__(self, "_request", model)
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url, prepared.body = model.method, model.url, body
        # A plain dictionary, which takes less time to copy.
        headers = {**model.headers, "Content-Length": str(len(body))}
        prepared.headers = headers  # type: ignore[assignment]
        return prepared


def _describe(chain: list[BaseException]) -> str:
    """Name the first cause, and whether it happened on the way to a proxy."""
    error = chain[-1]
    words = str(error)
    # These may quote a proxy's address that cannot be read, with half of its password.
    # An untrusted certificate is a ValueError, too.
    if isinstance(error, (ValueError, InvalidURL)) and not isinstance(error, SSLError):
        words = _QUOTE.split(words, maxsplit=1)[0]
    way = "ProxyError: " if any(isinstance(it, ProxyError) for it in chain[:-1]) else ""
    return f"{way}{type(error).__name__}: {words}".rstrip(": ")


def _trace_ids(answer: HTTPResponse) -> list[str]:
    """Return the headers by which Connectly's or Meta's support finds the request."""
    headers = answer.headers.itermerged()
    found = [header for header in headers if _TRACE_ID.fullmatch(header[0])]
    return [f"{name}: {text[:MAX_TRACE_ID]}" for name, text in found[:MAX_TRACE_IDS]]


def _read_body(answer: HTTPResponse) -> bytes:
    body, error = bytearray(), None
    try:
        # To the end, or the connection could not be used again.
        while len(body) < MAX_ANSWER and (
            chunk := answer.read(MAX_ANSWER - len(body), decode_content=False)
        ):
            body += chunk
            if answer.isclosed():
                break  # that was the end
    except Exception as exc:  # noqa: BLE001 - the status may decide without the rest
        error = exc
    text, is_whole = _decoded(bytes(body), answer.headers.get("Content-Encoding", ""))
    if 200 <= answer.status < 300 and (error or not is_whole):
        # Only a whole answer confirms.
        raise HTTPException("the answer could not be read to its end") from error
    return text


def _decoded(body: bytes, encoding: str) -> tuple[bytes, bool]:
    """Return the answer's text, at most 64 KiB of it, and whether the body is whole.

    "identity" is asked for, but some gateways compress all the same. A body without the
    encoding that its header names is read as it is.
    """
    if not encoding:
        return body, True
    names = {name.strip().lower() for name in encoding.split(",")} - {"", "identity"}
    found = None
    if body and names and names <= {"gzip", "x-gzip"} and "," not in encoding:
        found = _inflated(body, zlib.MAX_WBITS | 16)
    elif body and names == {"deflate"} and "," not in encoding:
        found = _inflated(body, zlib.MAX_WBITS)
        if found is None:  # some servers leave out zlib's header
            raw = _inflated(body, -zlib.MAX_WBITS)
            found = raw if raw and raw[1] else None
    if found is not None:
        return found
    if names and not _is_text(body):
        # A name is shown whole or not at all: half a key would escape the mask.
        name = repr(encoding) if len(encoding) <= MAX_ENCODING else "content"
        return f"[{len(body)} bytes of unreadable {name}]".encode(), True
    return body, True


def _inflated(body: bytes, window: int) -> tuple[bytes, bool] | None:
    """Decompress at most 64 KiB; None if the body is not in this format."""
    text = b""
    while True:
        stream = zlib.decompressobj(window)
        try:
            text += stream.decompress(body, MAX_ANSWER - len(text))
        except zlib.error:
            # What follows a whole gzip stream and is not another one is ignored.
            return (text, True) if text else None
        if len(text) >= MAX_ANSWER or not stream.eof:
            return text, len(text) >= MAX_ANSWER
        if not (body := stream.unused_data) or window < zlib.MAX_WBITS | 16:
            return text, True


def _is_text(body: bytes) -> bool:
    try:
        return not _CONTROL.search(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return False


def _adapter() -> TimedAdapter:
    """The thread's adapter, which keeps its connection."""
    adapter: TimedAdapter | None = getattr(_adapters, "adapter", None)
    # A forked child must not write to its parent's connection.
    if adapter is None or _adapters.pid != os.getpid():
        adapter = _adapters.adapter = TimedAdapter()
        _adapters.pid = os.getpid()
    return adapter
