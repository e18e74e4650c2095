from __future__ import annotations

from typing import Any

from django.apps import apps
from django.urls import include, path

from .shop import BuyAtOnce, paid

shop: Any = apps.get_app_config("oscar")
urlpatterns = [
    path("i18n/", include("django.conf.urls.i18n")),
    path("webhooks/paid/<str:number>/", paid, name="paid"),
    path("at-once/", BuyAtOnce.as_view(), name="at-once"),
    path("", include(shop.urls[0])),
]
