"""An answer of the API, and just enough HTTP/1.1 for a server that can break it."""

from __future__ import annotations

import json
import re
import socket
import struct
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from io import BufferedReader

_GRPC_CODES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

_MAX_HEAD: Final = 64 * 1024
_PIECE: Final = 64 * 1024
_REQUEST_LINE: Final = re.compile(r"([A-Z]+) (\S+) HTTP/1\.([01])")
_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_LENGTH: Final = re.compile("[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status and a body; ``counted`` if Connectly has recorded the event."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    counted: bool = False

    @classmethod
    def from_json(
        cls, document: Any, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> Answer:
        return cls(
            status=status,
            body=json.dumps(document).encode(),
            headers=tuple((headers or {}).items()),
        )

    @classmethod
    def from_body(cls, body: bytes, *, status: int = 200) -> Answer:
        """An answer with this body; counted if it is a 2xx that confirms an event."""
        counted = 200 <= status <= 299 and _confirms(body)
        return cls(status=status, body=body, counted=counted)

    @classmethod
    def from_error(
        cls, status: int, message: str, headers: dict[str, str] | None = None
    ) -> Answer:
        """An error in the format of the gRPC gateway."""
        code = _GRPC_CODES.get(status, "UNKNOWN")
        document = {"code": code, "message": message, "details": []}
        return cls.from_json(document, status=status, headers=headers)

    @property
    def reason(self) -> str:
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return "Unknown"


def _confirms(body: bytes) -> bool:
    try:
        document = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return False
    received = document.get("events_received") if isinstance(document, dict) else None
    return type(received) is int and received >= 1


CONFIRMED: Final = Answer.from_body(b'{"events_received": 1}')


class WireError(Exception):
    """Not the HTTP that this server reads; the connection must end."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(slots=True, kw_only=True)
class Request:
    """``headers`` have their names as sent, ``fields`` theirs in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    fields: dict[str, str]
    keep_alive: bool
    body: bytes = b""

    @property
    def awaits_continue(self) -> bool:
        return self.fields.get("expect", "").lower() == "100-continue"


def read_head(reader: BufferedReader) -> Request | None:
    """None if the client has closed the connection. Raises WireError."""
    line = _line(reader, _MAX_HEAD)
    if line is None:
        return None
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise WireError(400, "the request line is not HTTP/1.1")
    headers: dict[str, str] = {}
    fields: dict[str, str] = {}
    left = _MAX_HEAD - len(line)
    while line := _line(reader, left):
        left -= len(line)
        field = _FIELD.fullmatch(line)
        if field is None:
            raise WireError(400, "a header line is not HTTP/1.1")
        name, value = field.groups()
        lower = name.lower()
        # As RFC 9110 joins a header that is sent twice.
        fields[lower] = f"{fields[lower]}, {value}" if lower in fields else value
        headers[name] = fields[lower]
    if line is None:
        return None
    keep_alive = match[3] == "1" and fields.get("connection", "").lower() != "close"
    return Request(
        method=match[1],
        path=match[2],
        headers=headers,
        fields=fields,
        keep_alive=keep_alive,
    )


def read_body(reader: BufferedReader, request: Request, *, limit: int) -> bool:
    """False if the client leaves before the end. Raises WireError.

    Of a body over ``limit`` bytes, only ``limit`` + 1 bytes are kept.
    """
    if "transfer-encoding" in request.fields:
        raise WireError(411, "send Content-Length, not Transfer-Encoding")
    length = request.fields.get("content-length", "0")
    if not _LENGTH.fullmatch(length):
        raise WireError(400, "Content-Length is not a number")
    left = int(length)
    request.body = reader.read(min(left, limit + 1))
    left -= len(request.body)
    while left and (piece := reader.read(min(left, _PIECE))):
        left -= len(piece)
    return not left


def encode_head(answer: Answer, *, close: bool) -> bytes:
    """The bytes before the body."""
    lines = [
        f"HTTP/1.1 {answer.status} {answer.reason}",
        "Server: connectly-sandbox",
    ]
    if answer.status >= 200 and answer.status not in (204, 304):
        lines.append(f"Content-Type: {answer.content_type}")
        lines.append(f"Content-Length: {len(answer.body)}")
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode(errors="surrogateescape")


def arm_reset(sock: socket.socket) -> None:
    """Make closing ``sock`` send a RST instead of a FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _line(reader: BufferedReader, limit: int) -> str | None:
    """A line without its end; None if the client left before it."""
    line = reader.readline(max(limit, 0) + 2)
    if line.endswith(b"\n"):
        return line.rstrip(b"\r\n").decode("latin-1")
    if len(line) > limit:
        raise WireError(431, "the head of the request is too long")
    return None
