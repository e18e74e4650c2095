"""An answer of the API: what is sent, unless a behaviour breaks it on the wire."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

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
