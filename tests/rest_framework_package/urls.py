"""The views of docs/developer/rest.md, and those that give out tokens."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from django.urls import include, path
from rest_framework.authtoken.views import obtain_auth_token
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication
from rest_framework_simplejwt.views import TokenObtainPairView

from example_project.shop import models
from example_project.shop.models import Order, Product

if TYPE_CHECKING:
    from rest_framework.request import Request

PAGE = Path(__file__).parents[2] / "docs/developer/rest.md"
(CODE,) = re.findall(
    r"<!-- rest framework -->\n```python\n(.*?)```", PAGE.read_text(), re.S
)


def place_order(request: Request) -> Order:
    return Order.objects.place(Product.objects.get(sku="tee"), quantity=2)


orders = ModuleType("shop.orders")
orders.place_order = place_order  # type: ignore[attr-defined]
yours = {"shop": ModuleType("shop"), "shop.models": models, "shop.orders": orders}
sys.modules.update(yours)
views: dict[str, Any] = {}
exec(CODE, views)  # noqa: S102 - our own documentation


def stateless(view: str) -> Any:
    """A view that believes the token, and asks no database for its user."""
    authentication_classes = [JWTStatelessUserAuthentication]
    return views[view].as_view(authentication_classes=authentication_classes)


urlpatterns = [
    path("api/landed/", views["Landed"].as_view()),
    path("api/orders/", views["Orders"].as_view()),
    path("stateless/landed/", stateless("Landed")),
    path("stateless/orders/", stateless("Orders")),
    path("api/token/", obtain_auth_token),
    path("api/jwt/", TokenObtainPairView.as_view()),
    path("", include("example_project.urls")),
]
