"""Tells a merchant whether an invoice was paid."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING

from django.core.handlers.wsgi import WSGIRequest
from django.urls import resolve

from . import seal

if TYPE_CHECKING:
    from .invoice import Invoice


def send(invoice: Invoice, status: str) -> None:
    """Call the webhook with a new request, without the customer's cookies.

    Not over the network, since a server with one thread would wait for itself.
    """
    body = json.dumps({"reference": invoice.reference, "status": status}).encode()
    header = "HTTP_" + seal.HEADER.upper().replace("-", "_")
    request = WSGIRequest(
        {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": invoice.webhook,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": BytesIO(body),
            header: seal.of(body),
        }
    )
    view, args, kwargs = resolve(invoice.webhook)
    view(request, *args, **kwargs)
