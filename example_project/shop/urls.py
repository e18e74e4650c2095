from __future__ import annotations

from django.urls import path

from .views import cart, catalogue, checkout, orders, webhook

app_name = "shop"
urlpatterns = [
    path("", catalogue.landing, name="landing"),
    path("product/<slug:sku>/", catalogue.product, name="product"),
    path("cart/", cart.cart, name="cart"),
    path("cart/add/", cart.add, name="cart_add"),
    path("cart/change/", cart.change, name="cart_change"),
    path("cart/checkout/", checkout.pay_cart, name="pay_cart"),
    path("checkout/", checkout.buy_now, name="checkout"),
    path("thank-you/<slug:number>/", orders.thank_you, name="thank_you"),
    path("thank-you/<slug:number>/cancel/", orders.cancel, name="cancel"),
    path("visit/", orders.visit, name="visit"),
    path("payments/webhook/", webhook.webhook, name="webhook"),
]
