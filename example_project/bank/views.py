from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.signing import BadSignature
from django.http import Http404
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from . import notice
from .invoice import Invoice

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@require_http_methods(["GET", "HEAD", "POST"])
def pay(request: HttpRequest, sealed: str) -> HttpResponse:
    """Tell the shop what the customer decided, then send the customer back."""
    try:
        invoice = Invoice.from_sealed(sealed)
    except BadSignature as exc:
        raise Http404("No such invoice.") from exc
    if request.method != "POST":
        return render(request, "bank/pay.html", {"invoice": invoice})
    notice.send(
        invoice, "paid" if request.POST.get("decision") == "pay" else "declined"
    )
    return redirect(invoice.back)
