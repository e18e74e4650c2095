"""Pages that the example shop lacks."""

from __future__ import annotations

import json
import secrets
import threading
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template import RequestContext, Template
from django.views.decorators.csrf import csrf_exempt

from connectly_tracking.attribution import make_token
from connectly_tracking.signals import order_completed
from connectly_tracking.views import capture_endpoint
from example_project.shop import session
from example_project.shop.cart import Cart
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

TIDIED = """<!doctype html>{% load connectly_tracking %}<title>Campaign</title>
<script>history.replaceState(null, "", location.pathname)</script>
{% connectly_capture %}
<a href="{% url 'shop:product' 'tee' %}">Tee</a>"""

NEXT = """<!doctype html><title>Next</title><img src="/shown/" alt="">
<a href="{% url 'shop:product' 'tee' %}">Tee</a>"""

PAID = "<!doctype html><title>Paid</title><h1>Thank you</h1>"

_began = threading.Event()
_shown = threading.Event()


def campaign(request: HttpRequest) -> HttpResponse:
    """A page with the tag, and with a policy that allows nothing but it."""
    nonce = secrets.token_urlsafe()
    response = _page(request, CAMPAIGN, csp_nonce=nonce)
    response["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; connect-src 'self'"
    )
    return response


def tidied(request: HttpRequest) -> HttpResponse:
    """A page that takes the query out of its address before any script is loaded."""
    return _page(request, TIDIED)


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


def prepare(request: HttpRequest) -> HttpResponse:
    """Put a tee into the cart, and go on to the page named ``next``.

    ``user`` logs in; the clicks of one who is logged in are found without the session.
    ``filling``: so many characters, hardly to be compressed, are in the session, too.
    """
    if name := request.GET.get("user"):
        login(request, User.objects.get(username=name))
    request.session[session.CART] = {"tee": 1}
    filling = int(request.GET.get("filling", 0))
    request.session["filling"] = secrets.token_urlsafe(filling)[:filling]
    return _hop(request.GET.get("next", "/cart/"))


def landed(request: HttpRequest) -> HttpResponse:
    """Goes on to the order, and says whether the browser showed its session."""
    return _hop(f"/order/?shown={settings.SESSION_COOKIE_NAME in request.COOKIES}")


def moved(request: HttpRequest) -> HttpResponse:
    """The shop has left this host. The query is forgotten on the way."""
    port = request.get_port()
    return HttpResponseRedirect(f"http://shop.localhost:{port}/order/")


def order(request: HttpRequest) -> HttpResponse:
    """Buy what is in the cart, or else a tee."""
    lines = [(line.product, line.quantity) for line in Cart(request).lines]
    with transaction.atomic():
        placed = Order.objects.place_all(
            lines or [(Product.objects.get(sku="tee"), 3)],
            email=getattr(request.user, "email", ""),
        )
        order_completed.send(sender=Order, order=placed, request=request)
    return _hop("/done/")


def done(request: HttpRequest) -> HttpResponse:
    return _page(request, PAID)


def slow_page(request: HttpRequest) -> HttpResponse:
    """Read the cart, and end once `shown` was called; ``sku`` is put into the cart."""
    cart = Cart(request)
    assert cart.lines is not None  # read
    _began.set()
    _shown.wait(30)
    if sku := request.GET.get("sku"):
        cart.add(Product.objects.get(sku=sku), 1)
    return _page(request, NEXT)


def began(request: HttpRequest) -> HttpResponse:
    """Answers once a slow page has begun."""
    return HttpResponse(status=204 if _began.wait(30) else 503)


def another(request: HttpRequest) -> HttpResponse:
    return _page(request, NEXT)


def shown(request: HttpRequest) -> HttpResponse:
    _shown.set()
    return HttpResponse(status=204)


def _hop(url: str) -> HttpResponse:
    """A page that goes on to another by itself, as nobody drives this browser."""
    script = f"<script>location = {json.dumps(url)}</script>"
    return HttpResponse(f"<!doctype html><title>Hop</title>{script}")


def _page(request: HttpRequest, template: str, **context: str) -> HttpResponse:
    return HttpResponse(Template(template).render(RequestContext(request, context)))
