from __future__ import annotations

from django.urls import path

from . import views

app_name = "shop"
urlpatterns = [
    path("", views.landing, name="landing"),
    path("product/<slug:sku>/", views.product, name="product"),
    path("checkout/", views.checkout, name="checkout"),
    path("thank-you/<slug:number>/", views.thank_you, name="thank_you"),
]
