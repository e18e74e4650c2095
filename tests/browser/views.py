"""Pages that the example shop lacks."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.template import RequestContext, Template
from django.views.decorators.csrf import csrf_exempt

from connectly_tracking.attribution import make_token
from connectly_tracking.signals import order_completed
from connectly_tracking.views import capture_endpoint
from example_project.shop.models import Order, Product

if TYPE_CHECKING:
    from django.http import HttpRequest

CAMPAIGN = """<!doctype html>{% load connectly_tracking %}<title>Campaign</title>
{% connectly_capture %}
<a href="{% url 'shop:product' 'tee' %}">Tee</a>"""

MESSAGE = """<!doctype html><title>Message</title>
<a href="/pay/{{ token }}/">Pay in your browser</a>"""

PAY = """<!doctype html><title>Pay</title>
<form method="post">{% csrf_token %}<button>Pay</button></form>"""

NEXT = """<!doctype html><title>Next</title><img src="/shown/" alt="">
<a href="{% url 'shop:product' 'tee' %}">Tee</a>"""

PAID = "<!doctype html><title>Paid</title><h1>Thank you</h1>"

_shown = threading.Event()


def campaign(request: HttpRequest) -> HttpResponse:
    """A page with the tag, and with a policy that allows nothing but it."""
    nonce = secrets.token_urlsafe()
    response = _page(request, CAMPAIGN, csp_nonce=nonce)
    response["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; connect-src 'self'"
    )
    return response


def message(request: HttpRequest) -> HttpResponse:
    """Its link may be opened anywhere, by way of a message or a code to scan."""
    return _page(request, MESSAGE, token=make_token(request))


def pay(request: HttpRequest, token: str = "") -> HttpResponse:
    if request.method != "POST":
        return _page(request, PAY)
    with transaction.atomic():
        tee = get_object_or_404(Product, sku="tee")
        order = Order.objects.place(tee, quantity=1)
        order_completed.send(sender=Order, order=order, request=request, token=token)
    return _page(request, PAID)


@csrf_exempt
def slow_capture(request: HttpRequest) -> HttpResponse:
    """Answers once the customer sees another page."""
    _shown.wait(30)
    return capture_endpoint(request)


def another(request: HttpRequest) -> HttpResponse:
    return _page(request, NEXT)


def shown(request: HttpRequest) -> HttpResponse:
    _shown.set()
    return HttpResponse(status=204)


def _page(request: HttpRequest, template: str, **context: str) -> HttpResponse:
    return HttpResponse(Template(template).render(RequestContext(request, context)))
