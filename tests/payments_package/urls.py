from __future__ import annotations

from importlib import import_module

from django.http import HttpResponse
from django.urls import include, path

views = import_module("checkout.views")
urlpatterns = [
    path("checkout/", views.checkout, name="checkout"),
    path("pay/<uuid:token>/", views.pay, name="pay"),
    path("done/", lambda request: HttpResponse("Thank you"), name="done"),
    path("failed/", lambda request: HttpResponse("Try again"), name="failed"),
    path("payments/", include("payments.urls")),
    path("", include("example_project.urls")),
]
